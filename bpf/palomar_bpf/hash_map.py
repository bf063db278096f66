"""A BPF hash map with u32 keys, as seen from user space.

In go numbers and packed structs; called by `palomar_bpf.capture` and `palomar_bpf.interfaces`.
"""

from __future__ import annotations

import struct
from typing import Protocol

from palomar_bpf.bpf_call import map_delete, map_update

_KEY = struct.Struct("=I")


class U32Map(Protocol):
    """What can be done to such a map; `palomar_bpf.testing.FakeMap` is another one."""

    def update(self, key: int, value: bytes) -> None:
        """Set a value.

        Raises:
            BpfError: the kernel refused; E2BIG if the map is full.
        """

    def delete(self, key: int) -> None:
        """Remove a key, if it is there.

        Raises:
            BpfError: the kernel refused.
        """


class HashMap:
    """A map in the kernel.

    Args:
        fd: Its descriptor, which stays the caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def update(self, key: int, value: bytes) -> None:
        """Set a value; see `U32Map`."""
        map_update(self._fd, _KEY.pack(key), value)

    def delete(self, key: int) -> None:
        """Remove a key; see `U32Map`."""
        map_delete(self._fd, _KEY.pack(key))
