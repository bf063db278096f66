"""What drop reasons mean, from the tables beside this module.

Each entry of `kernel_reasons.yaml` and `cilium_reasons.yaml`, by the reason's name, has
- `cause`: a palomar.v1.DropCause without its prefix;
- `meaning`: a sentence;
- `usual_causes`: the likeliest first;
- `check_next`: the most telling first. $source, $destination, $source_port, $destination_port and
  $protocol stand for those of the packet.
`kernel_functions.yaml` has a sentence for kernel functions whose name says more than the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2, explanation_pb2
from palomar_server.surroundings import KERNEL_DROP_REASON_BASE
from palomar_server.yaml_file import read_yaml_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FOLDER = Path(__file__).parent
_FILE_BYTES_MAX = 1 << 20
_KEYS = {"cause", "meaning", "usual_causes", "check_next"}
_PREFIX = "DROP_CAUSE_"
_KERNEL_NAMES = {int(number): name for name, number in drop_reason_pb2.KernelDropReason.items()}
_CILIUM_NAMES = {int(number): name for name, number in flow_pb2.DropReason.items()}


class ReasonTableError(ValueError):
    """A table is not as it should be; names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What a drop reason means."""

    cause: explanation_pb2.DropCause.ValueType
    meaning: str
    usual_causes: tuple[str, ...]
    check_next: tuple[str, ...]

    def checks(self, words: Mapping[str, str]) -> list[str]:
        """What to check next, with the packet's own values in the commands."""
        return [Template(text).safe_substitute(words) for text in self.check_next]


NO_REASON = Reason(
    explanation_pb2.DROP_CAUSE_UNKNOWN,
    "There is no entry for this reason.",
    (),
    (
        "Look the name up in the kernel's sources: include/net/dropreason-core.h",
        "Which counters grow meanwhile: nstat",
    ),
)
"""For reasons of kernels newer than the table."""


class ReasonTable:
    """The tables, read once.

    Args:
        folder: where they are.

    Raises:
        ReasonTableError: an entry lacks something, or has something else.
        YamlFileError: a file cannot be read.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self.kernel = _read(folder / "kernel_reasons.yaml")
        """By name of palomar.v1.KernelDropReason."""
        self.cilium = _read(folder / "cilium_reasons.yaml")
        """By name of flow.DropReason."""
        functions = read_yaml_mapping(folder / "kernel_functions.yaml", max_bytes=_FILE_BYTES_MAX)
        self._functions = {name: " ".join(str(text).split()) for name, text in functions.items()}

    def reason(self, number: int) -> Reason:
        """What a flow's `drop_reason_desc` means."""
        table = self.cilium if number < KERNEL_DROP_REASON_BASE else self.kernel
        return table.get(reason_name(number), NO_REASON)

    def function(self, name: str) -> str:
        """What a drop in this kernel function tells besides; empty if nothing."""
        return self._functions.get(name, "")


def reason_name(number: int) -> str:
    """The name of a flow's `drop_reason_desc`; its number where it has none."""
    if number >= KERNEL_DROP_REASON_BASE:
        return _KERNEL_NAMES.get(number - KERNEL_DROP_REASON_BASE, str(number))
    return _CILIUM_NAMES.get(number, str(number))


def _read(path: Path) -> dict[str, Reason]:
    entries = read_yaml_mapping(path, max_bytes=_FILE_BYTES_MAX)
    return {name: _entry(f"{path.name}: {name}", entry) for name, entry in entries.items()}


def _entry(where: str, entry: Any) -> Reason:
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise ReasonTableError(f"{where} has to have the keys {', '.join(sorted(_KEYS))}")
    try:
        cause = explanation_pb2.DropCause.Value(f"{_PREFIX}{entry['cause']}")
    except ValueError:
        raise ReasonTableError(f"{where}: {entry['cause']!r} is no DropCause") from None
    texts = {}
    for key in ("usual_causes", "check_next"):
        values = entry[key]
        if not (isinstance(values, list) and values):
            raise ReasonTableError(f"{where}: {key} has to be a list with something in it")
        texts[key] = tuple(" ".join(str(value).split()) for value in values)
        if not all(texts[key]):
            raise ReasonTableError(f"{where}: {key} has an empty text")
    meaning = " ".join(str(entry["meaning"] or "").split())
    if not meaning:
        raise ReasonTableError(f"{where}: meaning is empty")
    return Reason(cause, meaning, texts["usual_causes"], texts["check_next"])
