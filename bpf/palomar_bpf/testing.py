"""Fakes for tests of whatever stands on the kernel side, which need no kernel and no privileges.

`FakeRing` is the kernel's end of a perf ring, `FakeMap` a hash map, `FakeTc` the interfaces' hooks.
Used by tests here and in the packages above.
"""

from __future__ import annotations

import errno
import mmap
import struct
from typing import TYPE_CHECKING

from palomar_bpf.attachment import Attachment
from palomar_bpf.errors import BpfError, CaptureError
from palomar_bpf.records import RECORD_LOST, RECORD_SAMPLE, SAMPLE_OVERHEAD_BYTES
from palomar_bpf.ring import HEAD_WORD, TAIL_WORD, PerfRing

if TYPE_CHECKING:
    from palomar_bpf.links import Link

_HEADER = struct.Struct("=IHH")
_LOST = struct.Struct("=IHHQQ")
_POSITION = struct.Struct("=Q")
_MISC_KERNEL = 1


class FakeRing:
    """A perf ring in ordinary memory, written the way the kernel writes one.

    Args:
        cpu: The CPU it stands for.
        data_pages: Its size in pages of memory, a power of two.
    """

    def __init__(self, cpu: int = 0, data_pages: int = 1) -> None:
        self.memory = bytearray((1 + data_pages) * mmap.PAGESIZE)
        self.size_bytes = data_pages * mmap.PAGESIZE
        self.reader = PerfRing(cpu, self.memory)
        """The consumer's end, for `palomar_bpf.ring.drain`."""
        self.refused = 0
        """Events refused so far because the ring was full."""
        self._unreported = 0

    def emit(self, payload: bytes) -> bool:
        """Put one event in, as bpf_perf_event_output() does; False if there is no room for it.

        After refusals, the next event that fits is preceded by a PERF_RECORD_LOST.
        """
        size = (SAMPLE_OVERHEAD_BYTES + len(payload) + 7) // 8 * 8
        sample = _HEADER.pack(RECORD_SAMPLE, _MISC_KERNEL, size)
        sample += struct.pack("=I", size - SAMPLE_OVERHEAD_BYTES) + payload
        record = sample.ljust(size, b"\0")
        if self._unreported:
            record = _LOST.pack(RECORD_LOST, 0, _LOST.size, 0, self._unreported) + record
        if not self.write(record):
            self.refused += 1
            self._unreported += 1
            return False
        self._unreported = 0
        return True

    def write(self, record: bytes) -> bool:
        """Put raw record bytes in, a multiple of 8; False if there is no room for them."""
        tail = self._position(TAIL_WORD)
        head = self._position(HEAD_WORD)
        if head - tail + len(record) > self.size_bytes:
            return False
        for start in range(0, len(record), 8):
            place = mmap.PAGESIZE + (head + start) % self.size_bytes
            self.memory[place : place + 8] = record[start : start + 8]
        _POSITION.pack_into(self.memory, HEAD_WORD * 8, head + len(record))
        return True

    def _position(self, word: int) -> int:
        position: int = _POSITION.unpack_from(self.memory, word * 8)[0]
        return position


class FakeMap:
    """A `palomar_bpf.hash_map.U32Map` in a dict.

    Args:
        entries_max: How many keys it holds.
    """

    def __init__(self, entries_max: int = 4096) -> None:
        self.entries: dict[int, bytes] = {}
        self._entries_max = entries_max

    def update(self, key: int, value: bytes) -> None:
        """Set a value; refused like the kernel does if the map is full."""
        if key not in self.entries and len(self.entries) >= self._entries_max:
            raise BpfError(errno.E2BIG, "bpf map update: Argument list too long")
        self.entries[key] = value

    def delete(self, key: int) -> None:
        """Remove a key, if it is there."""
        self.entries.pop(key, None)


class FakeTc:
    """Interfaces that programs can be put on.

    Args:
        broken: Names of those where that fails.
    """

    def __init__(self, broken: frozenset[str] = frozenset()) -> None:
        self.broken = broken
        self.attached: list[str] = []
        """Names of the interfaces that have the programs on them now, in order of attachment."""
        self.attempts: list[str] = []
        """Names of all the interfaces that attachment was tried on."""

    def attach(self, link: Link) -> Attachment:
        """Put the programs on an interface, as `palomar_bpf.attachment.attach` does."""
        self.attempts.append(link.name)
        if link.name in self.broken:
            raise CaptureError(f"attaching to {link.name}: No such device")
        self.attached.append(link.name)
        return Attachment(link, "tcx", _FakeHooks(self.attached, link.name))


class _FakeHooks:
    def __init__(self, attached: list[str], name: str) -> None:
        self._attached = attached
        self._name = name

    def remove(self) -> None:
        if self._name in self._attached:
            self._attached.remove(self._name)
