"""Names of kernel functions by address, for the place where a packet was dropped.

In goes /proc/kallsyms, once; out come names. Called by capture when it starts; the server asks for
names while it decodes drops.

Held compactly: about 100,000 functions take 3 MB as sorted addresses and one string of all names,
a tenth of what a dict would need.
"""

from __future__ import annotations

import re
from array import array
from pathlib import Path

import numpy as np

KALLSYMS = Path("/proc/kallsyms")

_TEXT_TYPES = b"tTwW"
"""Symbol types of nm(1) for code; weak ones may be, too."""

_COMPILER_SUFFIX = re.compile(rb"(\.(isra|constprop|part|cold|llvm)(\.\d+)?)+$")
"""What compilers add to the name of a function they split or specialise. It is the same function to
a human, and the numbers differ from build to build, so names without it can be compared."""


class KernelSymbols:
    """The kernel's functions, modules included, as they were when this was made.

    Args:
        path: A file in the format of /proc/kallsyms: address, type, name, module.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path = KALLSYMS) -> None:
        addresses, ends, names = _read(path)
        # Of several names for one address the first one listed stands.
        self._addresses, first = np.unique(np.frombuffer(addresses, np.uint64), return_index=True)
        end = np.frombuffer(ends, np.uint32)
        start = np.concatenate((np.zeros(min(1, len(end)), np.uint32), end[:-1]))
        self._starts, self._ends = start[first], end[first]
        self._names = names

    def __len__(self) -> int:
        return len(self._addresses)

    def name(self, address: int) -> str:
        """Return the name of the function that contains `address`.

        Empty where it is unknown: below the first function, or everywhere if the kernel hides
        addresses (sysctl kernel.kptr_restrict).
        """
        index = int(np.searchsorted(self._addresses, np.uint64(address), side="right")) - 1
        if index < 0:
            return ""
        name = self._names[int(self._starts[index]) : int(self._ends[index])]
        return _COMPILER_SUFFIX.sub(b"", name).decode("ascii", "replace")


def _read(path: Path) -> tuple[array[int], array[int], bytearray]:
    """Addresses of the functions in `path`, where each one's name ends, and all names."""
    addresses, ends, names = array("Q"), array("I"), bytearray()
    with path.open("rb") as lines:
        for line in lines:
            parts = line.split(maxsplit=3)
            if len(parts) < 3 or parts[1] not in _TEXT_TYPES:  # noqa: PLR2004 - address type name
                continue
            address = int(parts[0], 16)
            if not address:
                continue  # Hidden from this process.
            addresses.append(address)
            names += parts[2]
            ends.append(len(names))
    return addresses, ends, names
