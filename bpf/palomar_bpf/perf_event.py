"""The system calls behind a perf ring: perf_event_open(2), and membarrier(2) for memory order.

In go CPU numbers; out come file descriptors and the memory of a ring that takes what programs emit
with bpf_perf_event_output(). Called by `palomar_bpf.reader`. Layouts: struct perf_event_attr of the
kernel's include/uapi/linux/perf_event.h; numbers: each architecture's unistd.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from palomar_bpf.errors import CaptureError


class _Numbers(NamedTuple):
    perf_event_open: int
    membarrier: int


# Little-endian 64-bit machines only, since palomar_bpf.records reads headers as 64-bit words.
_NUMBERS = {
    "x86_64": _Numbers(298, 324),
    "ppc64le": _Numbers(319, 365),
    "aarch64": _Numbers(241, 283),
    "riscv64": _Numbers(241, 283),
    "loongarch64": _Numbers(241, 283),
}

_ATTR = struct.Struct("=IIQQQQQIIQ")
"""The first 64 bytes of struct perf_event_attr (PERF_ATTR_SIZE_VER0): type, size, config,
sample_period, sample_type, read_format, flags, wakeup_events, bp_type, config1."""
_TYPE_SOFTWARE = 1
_COUNT_SW_BPF_OUTPUT = 10
_SAMPLE_RAW = 1 << 10
_FLAG_FD_CLOEXEC = 1 << 3
_IOC_ENABLE = 0x2400
_IOC_SET_OUTPUT = 0x2405
_ANY_PROCESS = -1
_NO_GROUP = -1

_MEMBARRIER_GLOBAL = 1 << 0
_MEMBARRIER_GLOBAL_EXPEDITED = 1 << 1
_PROGRAM_S = 0.05
"""Longer than a program runs, and by far."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class PerfEvents:
    """Two enabled perf events of one CPU that write to one ring.

    Which of them is in the perf event array decides whether emitting interrupts the CPU, which
    costs more than all the rest of emitting (on a virtual machine 7 µs instead of 0.3).
    """

    cpu: int
    announcing_fd: int
    """Makes itself readable with every event."""
    silent_fd: int
    """Makes the other readable when the ring gets half full, and never before."""
    memory: mmap.mmap
    """One control page and then the data pages, shared with the kernel."""

    def close(self) -> None:
        """End the events; nothing may refer to their memory any more."""
        os.close(self.silent_fd)
        os.close(self.announcing_fd)
        self.memory.close()


def open_bpf_output(cpu: int, data_pages: int) -> PerfEvents:
    """Open what takes the output of BPF programs on `cpu`.

    Args:
        cpu: An online CPU.
        data_pages: Size of the ring in pages of memory, a power of two.

    Raises:
        CaptureError: the machine's architecture is not supported, or the kernel refused.
    """
    announcing_fd = _open(cpu, wakeup_events=1)
    try:
        memory = mmap.mmap(announcing_fd, (1 + data_pages) * mmap.PAGESIZE)
    except OSError as error:
        os.close(announcing_fd)
        raise CaptureError(
            f"mapping a perf ring of {data_pages} pages for CPU {cpu}: {error.strerror}; "
            "use fewer pages or raise kernel.perf_event_mlock_kb"
        ) from error
    try:
        silent_fd = _open(cpu, wakeup_events=0)
    except CaptureError:
        os.close(announcing_fd)
        memory.close()
        raise
    events = PerfEvents(cpu, announcing_fd, silent_fd, memory)
    try:
        fcntl.ioctl(silent_fd, _IOC_SET_OUTPUT, announcing_fd)
        for fd in (announcing_fd, silent_fd):
            fcntl.ioctl(fd, _IOC_ENABLE, 0)
    except OSError as error:
        events.close()
        raise CaptureError(
            f"switching on the perf ring for CPU {cpu}: {error.strerror}; has the CPU gone offline?"
        ) from error
    return events


def online_cpus() -> list[int]:
    """The CPUs that run now, from /sys/devices/system/cpu/online."""
    cpus: list[int] = []
    text = Path("/sys/devices/system/cpu/online").read_text(encoding="ascii")
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def needs_fence() -> bool:
    """Whether this processor may reorder the reads of a ring; x86-64 does not."""
    return platform.machine() != "x86_64"


def fence() -> None:
    """Order all memory accesses before the call before all after it.

    The global expedited membarrier has a full barrier on its caller's CPU whatever else it does,
    and interrupts only processes that registered for it: cheap, where Python itself has none.
    """
    _libc.syscall(
        ctypes.c_long(_numbers().membarrier),
        ctypes.c_int(_MEMBARRIER_GLOBAL_EXPEDITED),
        ctypes.c_uint(0),
        ctypes.c_int(0),
    )


def await_programs() -> None:
    """Wait until every BPF program that runs at the time of the call has ended.

    The global membarrier waits for a grace period of RCU, under whose protection programs run; some
    20 ms. Kernels with CPUs that are free of ticks refuse it, and there a pause has to do.
    """
    result: int = _libc.syscall(
        ctypes.c_long(_numbers().membarrier),
        ctypes.c_int(_MEMBARRIER_GLOBAL),
        ctypes.c_uint(0),
        ctypes.c_int(0),
    )
    if result < 0:
        time.sleep(_PROGRAM_S)


def _open(cpu: int, wakeup_events: int) -> int:
    attributes = _ATTR.pack(
        _TYPE_SOFTWARE,
        _ATTR.size,
        _COUNT_SW_BPF_OUTPUT,
        1,
        _SAMPLE_RAW,
        0,
        0,
        wakeup_events,
        0,
        0,
    )
    fd: int = _libc.syscall(
        ctypes.c_long(_numbers().perf_event_open),
        ctypes.create_string_buffer(attributes, len(attributes)),
        ctypes.c_int(_ANY_PROCESS),
        ctypes.c_int(cpu),
        ctypes.c_int(_NO_GROUP),
        ctypes.c_ulong(_FLAG_FD_CLOEXEC),
    )
    if fd < 0:
        raise CaptureError(
            f"perf_event_open for CPU {cpu}: {os.strerror(ctypes.get_errno())}; it needs root or "
            "CAP_PERFMON, and a kernel.perf_event_paranoid that allows it"
        )
    return fd


def _numbers() -> _Numbers:
    machine = platform.machine()
    if machine not in _NUMBERS:
        raise CaptureError(
            f"live capture does not know the processor {machine!r}, only {', '.join(_NUMBERS)}; "
            "replay and Cilium sources work everywhere"
        )
    return _NUMBERS[machine]
