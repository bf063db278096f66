"""Output formats: responses in, text out; one module per format.

`PRINTERS` is the whole list. `palomar observe` makes one printer per stream with `make_printer`.
"""

from palomar.printers.columns import Look
from palomar.printers.compact import CompactPrinter
from palomar.printers.dictionary import DictPrinter
from palomar.printers.jsonpb import JsonPrinter
from palomar.printers.printer import Printer
from palomar.printers.table import TablePrinter

PRINTERS: dict[str, type[Printer]] = {
    "compact": CompactPrinter,
    "dict": DictPrinter,
    "json": JsonPrinter,
    "jsonpb": JsonPrinter,
    "table": TablePrinter,
    # Names that Hubble takes without telling.
    "JSON": JsonPrinter,
    "tab": TablePrinter,
}

__all__ = ["PRINTERS", "Look", "Printer", "make_printer"]


def make_printer(name: str, look: Look | None = None) -> Printer:
    """Make the printer of a format.

    Args:
        name: A key of `PRINTERS`.
        look: The user's choices for the human formats.
    """
    return PRINTERS[name](look or Look())
