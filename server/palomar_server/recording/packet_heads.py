"""What the heads of recorded packets tell, read by columns without decoding: time, length, place.

Layouts: `palomar_bpf.payload`. Payloads that are not trace or drop messages of palomar's own
programs are passed over and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import (
    DROP_FLAG_L3_DEVICE,
    DROP_HEAD,
    EXT_VERSION,
    EXTENSION,
    TRACE_HEAD,
    MessageType,
)
from palomar_recorder.packets import LINKTYPE_ETHERNET, LINKTYPE_RAW, Interface
from palomar_server.decode.gather import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from palomar_bpf.batch import PayloadBatch

_TRACE = np.dtype([*TRACE_HEAD.descr, ("extension", EXTENSION)])
_DROP = np.dtype([*DROP_HEAD.descr, ("extension", EXTENSION)])
_TRACE_TYPE, _DROP_TYPE = int(MessageType.TRACE), int(MessageType.DROP)
_TRACE_KEY = _TRACE_TYPE | 0 << 16 | EXT_VERSION << 24
_DROP_KEY = _DROP_TYPE | 2 << 16 | EXT_VERSION << 24
HEAD_BYTES_MAX = _DROP.itemsize
"""Of what is in front of a packet."""

_TIME_OFFSET: int = EXTENSION.fields["time_ns"][1]  # type: ignore[index]
_NAME_OFFSET: int = EXTENSION.fields["interface"][1]  # type: ignore[index]
_LENGTHS = np.dtype([("len_orig", "u4"), ("len_cap", "u2"), ("version", "u1"), ("ext", "u1")])
_LENGTHS_OFFSET: int = TRACE_HEAD.fields["len_orig"][1]  # type: ignore[index]
_RAW_BIT = np.int64(DROP_FLAG_L3_DEVICE)
_KNOWN_LINKS = 65_536
"""Interfaces with a larger ifindex, and those of other namespaces, are looked up by dictionary."""
_INTERFACES_MAX = 4_096
"""Interfaces of one table; then a new one is begun."""


@dataclass(frozen=True, slots=True)
class PacketHeads:
    """n packets in the order of their times."""

    buffer: NDArray[np.uint8]
    """Shape (bytes,), dtype uint8."""
    payloads: NDArray[np.int64]
    """Where in it each payload begins, shape (n,)."""
    starts: NDArray[np.int64]
    """Where in it each packet begins, shape (n,)."""
    captured_bytes: NDArray[np.int64]
    """Of each packet, shape (n,)."""
    original_bytes: NDArray[np.int64]
    """Of each packet before it was cut, shape (n,)."""
    times_ns: NDArray[np.int64]
    """UTC, shape (n,); never falling."""
    interfaces: NDArray[np.uint32]
    """Index into `interface_table`, shape (n,)."""
    interface_table: tuple[Interface, ...]
    rules: NDArray[np.uint64]
    """Which rules each packet matched, shape (n, words)."""
    passed_over: int
    """Payloads that are none of ours."""
    clock_offset_ns: int = 0
    """What `times_ns` are ahead of kernel time."""

    def __len__(self) -> int:
        return len(self.starts)


class HeadReader:
    """Reads the heads of batches. For one thread.

    Args:
        links: gives the names of this node's links by ifindex.
        boot_offset_ns: gives what to add to kernel time for UTC.
    """

    def __init__(
        self, links: Callable[[], Mapping[int, str]], boot_offset_ns: Callable[[], int]
    ) -> None:
        self._links = links
        self._boot_offset_ns = boot_offset_ns
        self.forget()

    def forget(self) -> None:
        """Look up the names of interfaces anew: some may have changed."""
        self._index: dict[Interface, int] = {}
        self._table: tuple[Interface, ...] = ()
        # Twice as many: with Ethernet headers, and without.
        self._by_link = np.full(2 * _KNOWN_LINKS, -1, np.int64)

    def read(self, batch: PayloadBatch, rules: NDArray[np.uint64]) -> PacketHeads:
        """Read all heads of a batch.

        Args:
            batch: n payloads.
            rules: shape (n, words): goes along.
        """
        buffer, payloads, lengths = batch.buffer, batch.offsets, batch.lengths
        passed_over = 0
        keys = _keys(buffer, payloads, lengths)
        is_drop = keys == _DROP_KEY
        sound = (keys == _TRACE_KEY) & (lengths >= _TRACE.itemsize)
        sound |= is_drop & (lengths >= _DROP.itemsize)
        if (left := int(np.count_nonzero(sound))) < len(sound):
            passed_over = len(sound) - left
            payloads, lengths, is_drop = payloads[sound], lengths[sound], is_drop[sound]
            rules = rules[sound]
        if not len(payloads):
            return self._none(buffer, rules, passed_over)
        offset_ns = self._boot_offset_ns()
        times_ns = self._times(buffer, payloads, is_drop) + offset_ns
        if np.count_nonzero(times_ns[1:] < times_ns[:-1]):
            order = times_ns.argsort(kind="stable")
            times_ns, payloads, lengths = times_ns[order], payloads[order], lengths[order]
            is_drop, rules = is_drop[order], rules[order]
        starts = payloads + _head_bytes(is_drop)
        sizes = gather(buffer, payloads + _LENGTHS_OFFSET, _LENGTHS)
        captured = np.minimum(sizes["len_cap"], payloads + lengths - starts)
        original = np.maximum(sizes["len_orig"], captured)
        if len(self._table) > _INTERFACES_MAX:
            self.forget()
        interfaces = self._interfaces(buffer, payloads, is_drop)
        return PacketHeads(
            *(buffer, payloads, starts, captured, original, times_ns, interfaces),
            self._table,
            rules,
            passed_over,
            offset_ns,
        )

    def _none(
        self, buffer: NDArray[np.uint8], rules: NDArray[np.uint64], passed_over: int
    ) -> PacketHeads:
        numbers = np.zeros(0, np.int64)
        nowhere = np.zeros(0, np.uint32)
        return PacketHeads(
            *(buffer, numbers, numbers, numbers, numbers, numbers, nowhere),
            self._table,
            rules,
            passed_over,
        )

    @staticmethod
    def _times(
        buffer: NDArray[np.uint8], payloads: NDArray[np.int64], is_drop: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        at = payloads + (_head_bytes(is_drop) - EXTENSION.itemsize + _TIME_OFFSET)
        times_ns: NDArray[np.int64] = gather(buffer, at, np.dtype("i8"))
        return times_ns

    def _interfaces(
        self, buffer: NDArray[np.uint8], payloads: NDArray[np.int64], is_drop: NDArray[np.bool_]
    ) -> NDArray[np.uint32]:
        """Index of each packet's interface in the table, which grows by those that are new."""
        links = np.empty(len(payloads), np.int64)
        if not np.count_nonzero(is_drop):
            self._fill_links(links, slice(None), gather(buffer, payloads, TRACE_HEAD))
        else:
            drops, traces = is_drop.nonzero()[0], (~is_drop).nonzero()[0]
            self._fill_links(links, traces, gather(buffer, payloads[traces], TRACE_HEAD))
            self._fill_links(links, drops, gather(buffer, payloads[drops], DROP_HEAD))
        found = self._by_link.take(links, mode="clip")
        found[links >= len(self._by_link)] = -1
        for link in np.unique(links[found < 0]).tolist():
            number = self._number(Interface(self._links().get(link >> 1, ""), _linktype(link)))
            found[links == link] = number
            if link < len(self._by_link):
                self._by_link[link] = number
        if np.count_nonzero(is_drop):
            self._name_drops(buffer, payloads, drops, links, found)
        return found.astype(np.uint32)

    @staticmethod
    def _fill_links(
        links: NDArray[np.int64], where: NDArray[np.intp] | slice, heads: NDArray[np.void]
    ) -> None:
        """Note twice the ifindex, and one more for packets without an Ethernet header."""
        links[where] = heads["ifindex"].astype(np.int64) << 1
        links[where] |= (heads["flags"] & _RAW_BIT) != 0

    def _name_drops(
        self,
        buffer: NDArray[np.uint8],
        payloads: NDArray[np.int64],
        drops: NDArray[np.intp],
        links: NDArray[np.int64],
        found: NDArray[np.int64],
    ) -> None:
        """Take the names that drops bring along, as their interface may be in another namespace."""
        names = gather(
            buffer, payloads[drops] + (DROP_HEAD.itemsize + _NAME_OFFSET), np.dtype("S16")
        )
        named = drops[names != b""]
        if not len(named):
            return
        keys = np.empty(len(named), np.dtype([("name", "S16"), ("raw", "u1")]))
        keys["name"] = names[names != b""]
        keys["raw"] = links[named] & 1
        unique, which = np.unique(keys, return_inverse=True)
        numbers = [
            # Behind the NUL may be what is left of a longer name that the link had before.
            self._number(Interface(_text(name), _linktype(int(raw))))
            for name, raw in unique.tolist()
        ]
        found[named] = np.array(numbers, np.int64)[which]

    def _number(self, interface: Interface) -> int:
        number = self._index.get(interface)
        if number is None:
            number = self._index[interface] = len(self._table)
            self._table = (*self._table, interface)
        return number


def _text(name: bytes) -> str:
    return name.partition(b"\0")[0].decode("utf-8", "replace")


def _linktype(link: int) -> int:
    return LINKTYPE_RAW if link & 1 else LINKTYPE_ETHERNET


def _head_bytes(is_drop: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(is_drop, _DROP.itemsize, _TRACE.itemsize)


def _keys(
    buffer: NDArray[np.uint8], payloads: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Type, version and extension of each payload as one number; 0 for those too short."""
    whole = lengths >= _TRACE.itemsize
    if np.count_nonzero(whole) < len(whole):
        keys = np.zeros(len(whole), np.uint32)
        keys[whole] = _keys(buffer, payloads[whole], lengths[whole])
        return keys
    if not len(payloads):
        return np.zeros(0, np.uint32)
    keys = buffer[payloads].astype(np.uint32)
    versions = gather(buffer, payloads + (_LENGTHS_OFFSET + 6), np.dtype("u2"))
    keys |= versions.astype(np.uint32) << np.uint32(16)
    return keys
