from __future__ import annotations

import errno
import fcntl
import mmap
import os
import platform

import pytest

from palomar_bpf.errors import CaptureError
from palomar_bpf.perf_event import (
    await_programs,
    fence,
    needs_fence,
    online_cpus,
    open_bpf_output,
)


def test_online_cpus_are_those_this_process_may_see() -> None:
    cpus = online_cpus()
    assert cpus == sorted(set(cpus))
    assert os.sched_getaffinity(0) <= set(cpus)


def test_only_x86_64_does_without_a_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert not needs_fence()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert needs_fence()


def test_the_fence_works_where_it_is_not_needed() -> None:
    fence()


def test_programs_are_awaited_also_where_the_kernel_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await_programs()
    slept: list[float] = []
    monkeypatch.setattr("palomar_bpf.perf_event._MEMBARRIER_GLOBAL", 1 << 30)
    monkeypatch.setattr("time.sleep", slept.append)
    await_programs()
    assert len(slept) == 1


def test_an_unknown_processor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(CaptureError, match="'pdp11'"):
        open_bpf_output(0, 1)


@pytest.mark.live
def test_a_ring_is_memory_shared_with_the_kernel(live: None) -> None:
    events = open_bpf_output(online_cpus()[0], 2)
    assert len(events.memory) == 3 * mmap.PAGESIZE
    assert not os.get_inheritable(events.announcing_fd)
    assert not os.get_inheritable(events.silent_fd)
    events.close()


@pytest.mark.live
def test_a_ring_that_cannot_be_mapped_leaves_nothing_open(live: None) -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all it takes
    with pytest.raises(CaptureError, match="3 pages for CPU"):
        open_bpf_output(online_cpus()[0], 3)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise


@pytest.mark.live
@pytest.mark.parametrize("refused", [0x2400, 0x2405], ids=["enable", "set-output"])
def test_a_ring_that_cannot_be_switched_on_leaves_nothing_open(
    live: None, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    def ioctl(_fd: int, request: int, _argument: int) -> int:
        if request == refused:
            raise OSError(errno.ENODEV, "No such device")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all it takes
    with pytest.raises(CaptureError, match="CPU 0: No such device"):
        open_bpf_output(0, 1)
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise


@pytest.mark.live
def test_a_cpu_that_is_not_there_is_refused(live: None) -> None:
    with pytest.raises(CaptureError, match="CPU 9999"):
        open_bpf_output(9999, 1)
