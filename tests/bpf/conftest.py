"""The programs in this kernel, with a reader, for tests that look at what they emit."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from palomar_bpf import bpf_call
from palomar_bpf.btf import KernelBtf
from palomar_bpf.loader import ProgramOptions, load_programs
from palomar_bpf.payload import DROP_HEAD, EXTENSION, TRACE_HEAD, MessageType
from palomar_bpf.reader import PerfReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from palomar_bpf.loader import Programs

_PROG_TEST_RUN = 10
_TEST_RUN = struct.Struct("=IIIIQQIIIIQQII")
_SKB_CONTEXT = struct.Struct("=40xI")
COUNTER = struct.Struct("=QQQQQ")


@dataclass(frozen=True)
class Event:
    """A decoded event: its head, palomar's block, and the packet bytes."""

    head: Any
    extension: Any
    packet: bytes
    raw: bytes

    @property
    def is_drop(self) -> bool:
        return int(self.head["type"]) == MessageType.DROP


class Bench:
    """Loaded programs, what to feed them with, and what came out."""

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.reader: PerfReader | None = PerfReader(programs.maps["events"])

    def run(
        self,
        packet: bytes,
        *,
        egress: bool = False,
        ifindex: int = 1,
        times: int = 1,
        record: bool = False,
    ) -> int:
        """Let a tc program see a packet without sending it (BPF_PROG_TEST_RUN); its verdict.

        Other threads run meanwhile, so that several CPUs can be in the program at once.
        """
        name = f"{'record' if record else 'trace'}_{'egress' if egress else 'ingress'}_fd"
        fd = getattr(self.programs, name)
        data = ctypes.create_string_buffer(packet, len(packet))
        context = ctypes.create_string_buffer(_SKB_CONTEXT.pack(ifindex), _SKB_CONTEXT.size)
        attributes = ctypes.create_string_buffer(
            _TEST_RUN.pack(
                *(fd, 0, len(packet), 0, ctypes.addressof(data), 0, times, 0),
                *(_SKB_CONTEXT.size, 0, ctypes.addressof(context), 0, 0, 0),
            )
        )
        result: int = bpf_call._libc.syscall(
            ctypes.c_long(bpf_call._number), _PROG_TEST_RUN, attributes, _TEST_RUN.size
        )
        assert result == 0, os.strerror(ctypes.get_errno())
        (verdict,) = struct.unpack_from("=i", attributes, 4)
        return int(verdict)

    def see(self, packet: bytes, *, egress: bool = False, ifindex: int = 1) -> Event | None:
        """Let a tc program see a packet; the event it emitted."""
        assert self.run(packet, egress=egress, ifindex=ifindex) == -1
        events = self.events()
        assert len(events) < 2
        return events[0] if events else None

    def events(self, timeout_s: float = 0.0) -> list[Event]:
        """What was emitted so far; waits for the first."""
        assert self.reader is not None
        found = []
        while (batch := self.reader.read(timeout_s)) is not None:
            found += [_decode(batch.payload(i)) for i in range(len(batch))]
            timeout_s = 0.0
        return found

    def drops(self, wanted: Callable[[Event], bool], count: int = 1) -> list[Event]:
        """Wait for drops for which `wanted` holds, among all that happen on this machine."""
        found: list[Event] = []
        others: list[Event] = []
        deadline_s = time.monotonic() + 5
        while len(found) < count and time.monotonic() < deadline_s:
            for event in self.events(0.2):
                (found if event.is_drop and wanted(event) else others).append(event)
        assert len(found) >= count, (self.counter(1), found, others)
        return found

    def silent(self) -> None:
        """Take the reader away, so that events are lost."""
        assert self.reader is not None
        self.reader.close()
        self.reader = None

    def counter(self, kind: int) -> dict[str, int]:
        """Sum of a counter over all CPUs."""
        values = bpf_call.percpu_lookup(
            self.programs.maps["counters"],
            struct.pack("=I", kind),
            COUNTER.size,
            bpf_call.possible_cpus(),
        )
        sums = np.sum([COUNTER.unpack(value) for value in values], axis=0)
        return dict(zip(("emitted", "lost", "withheld"), map(int, sums[2:]), strict=True))

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
        self.programs.close()


def _decode(raw: bytes) -> Event:
    head = TRACE_HEAD if raw[0] == MessageType.TRACE else DROP_HEAD
    at = head.itemsize + EXTENSION.itemsize
    fields = np.frombuffer(raw[: head.itemsize], head)[0]
    captured = int(fields["len_cap"])
    extension = np.frombuffer(raw[head.itemsize : at], EXTENSION)[0]
    return Event(fields, extension, raw[at : at + captured], raw)


@pytest.fixture(scope="session")
def host_netns() -> int:
    return Path("/proc/self/ns/net").stat().st_ino


@pytest.fixture(scope="module")
def make_bench(live: None, host_netns: int) -> Iterator[Callable[..., Bench]]:
    """Load the programs with given options; what is loaded goes away with the module's tests."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Bench:
            with KernelBtf() as btf:
                programs = load_programs(ProgramOptions(host_netns=host_netns, **options), btf)
            bench = Bench(programs)
            stack.callback(bench.close)
            return bench

        yield make
