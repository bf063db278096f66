"""Output formats: responses in, text out; one module per format.

`PRINTERS` is the whole list. `palomar observe` makes one printer per stream with `make_printer`,
which imports the one that is asked for.
"""

import os
from importlib import import_module
from typing import cast

from palomar.printers.look import Look
from palomar.printers.printer import Printer

PRINTERS = {
    "compact": "compact:CompactPrinter",
    "dict": "dictionary:DictPrinter",
    "json": "jsonpb:JsonPrinter",
    "jsonpb": "jsonpb:JsonPrinter",
    "table": "table:TablePrinter",
    # Ours; `hubble` has none of them.
    "wide": "wide:WidePrinter",
    "csv": "comma_separated:CsvPrinter",
    # Names that Hubble takes without telling.
    "JSON": "jsonpb:JsonPrinter",
    "tab": "table:TablePrinter",
}
"""Formats and where their printers are."""

OWN_FORMATS = frozenset({"wide", "csv"})
"""Those that `hubble` does not have."""

_COMPAT_VARIABLE = "HUBBLE_COMPAT"
"""Options parted by commas that bring back what Hubble did before; unknown ones are ignored."""
_LEGACY_JSON_OPTION = "legacy-json-output"
_LEGACY_JSON = "jsonpb:LegacyJsonPrinter"
_LEGACY_JSON_FORMATS = frozenset({"json", "JSON"})

__all__ = ["OWN_FORMATS", "PRINTERS", "Look", "Printer", "is_legacy_json",
           "make_printer"]  # fmt: skip


def make_printer(name: str, look: Look | None = None) -> Printer:
    """Make the printer of a format.

    HUBBLE_COMPAT=legacy-json-output in the environment changes what `json` is.

    Args:
        name: A key of `PRINTERS`.
        look: The user's choices for the human formats.
    """
    place = _LEGACY_JSON if is_legacy_json(name) else PRINTERS[name]
    module, _, attribute = place.partition(":")
    kind = cast("type[Printer]", getattr(import_module(f"palomar.printers.{module}"), attribute))
    return kind(look or Look())


def is_legacy_json(name: str) -> bool:
    """Say whether the environment asks for Hubble's former JSON in place of a format."""
    compat = os.environ.get(_COMPAT_VARIABLE, "").lower().split(",")
    return name in _LEGACY_JSON_FORMATS and _LEGACY_JSON_OPTION in compat
