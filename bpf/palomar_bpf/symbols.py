"""Names of kernel functions by address, for the place where a packet was dropped.

In go /proc/kallsyms and /proc/modules, when this is made and again when modules came or went; out
come names. Called by capture when it starts; the server asks for names while it decodes drops.

Held compactly: about 100,000 functions take 3 MB as sorted addresses and one string of all names,
a tenth of what a dict would need.
"""

from __future__ import annotations

import logging
import re
import time
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray

    Ranges: TypeAlias = list[tuple[int, int]]

logger = logging.getLogger(__name__)

KALLSYMS = Path("/proc/kallsyms")
MODULES = Path("/proc/modules")

RECHECK_INTERVAL_S = 5.0
"""Shortest time between two looks for new modules; a look that finds some takes 0.1 s or more."""

_TEXT_TYPES = b"tTwW"
"""Symbol types of nm(1) for code; weak ones may be, too."""
_TEXT_START, _TEXT_END = b"_stext", b"_etext"
"""Symbols around the code of the kernel itself, without what only runs while it boots."""

_COMPILER_SUFFIX = re.compile(rb"(\.(isra|constprop|part|cold|llvm)(\.\d+)?)+$")
"""What compilers add to the name of a function they split or specialise. It is the same function to
a human, and the numbers differ from build to build, so names without it can be compared."""


class KernelSymbols:
    """The kernel's functions, modules included.

    Args:
        kallsyms: A file in the format of /proc/kallsyms: address, type, name, module.
        modules: A file in the format of /proc/modules: name, size, users, dependants, state,
            address. A kernel without modules has none.
        clock: Seconds that only grow.

    Raises:
        OSError: a file cannot be read.
    """

    def __init__(
        self,
        kallsyms: Path = KALLSYMS,
        modules: Path = MODULES,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kallsyms = kallsyms
        self._modules = modules
        self._clock = clock
        self._checked_s = clock()
        self._index = _read(kallsyms, _module_ranges(modules))

    def __len__(self) -> int:
        return len(self._index.addresses)

    def name(self, address: int) -> str:
        """Return the name of the function that contains `address`.

        Empty where it is unknown: in code of no module there is, in code made at run time, as that
        of BPF programs, or everywhere if the kernel hides addresses (kernel.kptr_restrict).
        """
        index = self._index
        if index.floor(address) is None:
            index = self._fresh()
        return index.name(address)

    def _fresh(self) -> _Index:
        """The index, read again if modules came or went since; looks seldom."""
        now_s = self._clock()
        if now_s - self._checked_s < RECHECK_INTERVAL_S:
            return self._index
        self._checked_s = now_s
        try:
            modules = _module_ranges(self._modules)
            if modules != self._index.modules:
                self._index = _read(self._kallsyms, modules)
        except OSError as error:
            logger.warning("names of functions of new kernel modules are not known: %s", error)
        return self._index


@dataclass(frozen=True, slots=True)
class _Index:
    """Functions as they were at one moment."""

    addresses: NDArray[np.uint64]
    """Shape (functions,): where each starts, ascending."""
    starts: NDArray[np.uint32]
    """Shape (functions,): where each one's name starts in `names`."""
    ends: NDArray[np.uint32]
    """Shape (functions,): where it ends."""
    names: bytearray
    ranges: Ranges
    """Where code may be: (first address, address behind the last), ascending."""
    modules: Ranges
    """Those of the modules."""

    def floor(self, address: int) -> int | None:
        """First address of the range that `address` is in; None where there is no known code."""
        at = bisect_right(self.ranges, address, key=itemgetter(0)) - 1
        if at < 0 or address >= self.ranges[at][1]:
            return None
        return self.ranges[at][0]

    def name(self, address: int) -> str:
        """Name of the function in the range of `address` that starts last before it, or ''."""
        floor = self.floor(address)
        if floor is None:
            return ""
        index = int(np.searchsorted(self.addresses, np.uint64(address), side="right")) - 1
        if index < 0 or int(self.addresses[index]) < floor:
            return ""
        name = self.names[int(self.starts[index]) : int(self.ends[index])]
        return _COMPILER_SUFFIX.sub(b"", name).decode("ascii", "replace")


def _read(path: Path, modules: Ranges) -> _Index:
    """Make the index of the functions in `path`."""
    addresses, ends, names = array("Q"), array("I"), bytearray()
    bounds: dict[bytes, int] = {}
    with path.open("rb") as lines:
        for line in lines:
            parts = line.split(maxsplit=3)
            if len(parts) < 3:  # noqa: PLR2004 - address type name
                continue
            address = int(parts[0], 16)
            if not address:
                continue  # Hidden from this process.
            if parts[2] in {_TEXT_START, _TEXT_END}:
                bounds.setdefault(parts[2], address)
            if parts[1] in _TEXT_TYPES:
                addresses.append(address)
                names += parts[2]
                ends.append(len(names))
    # Of several names for one address the first one listed stands.
    unique, first = np.unique(np.frombuffer(addresses, np.uint64), return_index=True)
    end = np.frombuffer(ends, np.uint32)
    start = np.concatenate((np.zeros(min(1, len(end)), np.uint32), end[:-1]))
    kernel = [(bounds[_TEXT_START], bounds[_TEXT_END])] if len(bounds) > 1 else []
    return _Index(unique, start[first], end[first], names, sorted(kernel + modules), modules)


def _module_ranges(path: Path) -> Ranges:
    """Where the modules in `path` are, none of them into the next.

    The size told counts a module's data, too, which since Linux 6.4 lies elsewhere.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []  # A kernel without modules.
    found = sorted(
        (int(words[5], 16), int(words[1]))
        for words in map(bytes.split, lines)
        if len(words) > 5  # noqa: PLR2004 - name size users dependants state address
    )
    starts = [start for start, _ in found if start]  # Hidden ones are 0.
    sizes = [size for start, size in found if start]
    behind = [*starts[1:], 1 << 64]
    return [
        (start, min(start + size, limit))
        for start, size, limit in zip(starts, sizes, behind, strict=True)
    ]
