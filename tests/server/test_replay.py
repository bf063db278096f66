from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from palomar_bpf.batch import Loss, LossKind, PayloadBatch
from palomar_server.event_file import EventFileError, EventFileWriter
from palomar_server.event_frame import MAGIC
from palomar_server.replay import ReplaySource, Speed
from palomar_server.source import END, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Opener: TypeAlias = "Callable[..., ReplaySource]"

BASE_NS = 1_700_000_000_000_000_000
LOSS = Loss(LossKind.PERF_RING, 0, 5)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def batch_of(count: int, received_ns: int, losses: tuple[Loss, ...] = ()) -> PayloadBatch:
    return PayloadBatch(
        buffer=np.arange(count, dtype=np.uint8),
        offsets=np.arange(count, dtype=np.int64),
        lengths=np.ones(count, np.int64),
        cpus=np.zeros(count, np.uint16),
        received_ns=received_ns,
        losses=losses,
    )


def write(path: Path, *items: PayloadBatch | dict[str, object]) -> Path:
    writer = EventFileWriter(path, 1 << 30)
    for item in items:
        if isinstance(item, dict):
            writer.write_context(item)
        else:
            writer.write_batch(item)
    writer.close()
    return path


def read_everything(source: Source) -> list[object]:
    """Sizes of batches and context objects, up to the end."""
    items: list[object] = []
    while (item := source.read()) is not END:
        assert item is not None
        items.append(len(item) if isinstance(item, PayloadBatch) else item)
    return items


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.plm"


@pytest.fixture
def replay(path: Path) -> Iterator[Opener]:
    """Opens sources on `path` and closes them in the end."""
    with contextlib.ExitStack() as opened:

        def open_source(speed: Speed, **options: Any) -> ReplaySource:
            source = ReplaySource(path, speed, **options)
            opened.callback(source.close)
            return source

        yield open_source


def test_full_speed_gives_all_in_order_and_then_the_end(path: Path, replay: Opener) -> None:
    write(path, {"a": 1}, batch_of(3, BASE_NS), {"b": 2}, batch_of(2, BASE_NS + 10**12))
    source = replay("max")
    assert read_everything(source) == [{"a": 1}, 3, {"b": 2}, 2]
    assert source.finished
    assert source.read() is END


def test_batches_are_cut_and_the_first_part_has_the_losses(path: Path, replay: Opener) -> None:
    write(path, batch_of(5, BASE_NS, (LOSS,)))
    source = replay("max", batch_max=2)
    parts = [source.read() for _ in range(3)]
    assert all(isinstance(part, PayloadBatch) for part in parts)
    batches = [part for part in parts if isinstance(part, PayloadBatch)]
    assert [part.losses for part in batches] == [(LOSS,), (), ()]
    assert [part.payload(0) for part in batches] == [b"\0", b"\2", b"\4"]
    assert {part.received_ns for part in batches} == {BASE_NS}
    assert source.read() is END


def test_a_batch_of_losses_alone_is_given(path: Path, replay: Opener) -> None:
    write(path, batch_of(0, BASE_NS, (LOSS,)))
    for speed in ("max", "recorded", 10.0):
        source = replay(speed)
        item = source.read()
        assert isinstance(item, PayloadBatch)
        assert item.losses == (LOSS,)
        assert source.read() is END


def test_repeating_gives_the_file_as_often(path: Path, replay: Opener) -> None:
    write(path, {"a": 1}, batch_of(3, BASE_NS))
    assert read_everything(replay("max", repeat=3)) == [{"a": 1}, 3] * 3


def test_recorded_speed_keeps_the_pauses(path: Path, replay: Opener) -> None:
    write(path, batch_of(1, BASE_NS), batch_of(2, BASE_NS + 5 * 10**9), {"a": 1})
    clock = Clock()
    source = replay("recorded", clock=clock)
    assert isinstance(source.read(0), PayloadBatch)
    clock.now_s += 4.9
    assert source.read(0) is None
    clock.now_s += 0.2
    assert isinstance(source.read(0), PayloadBatch)
    assert source.read(0) == {"a": 1}


def test_a_clock_set_back_in_the_recording_delays_nothing(path: Path, replay: Opener) -> None:
    hour_ns = 3600 * 10**9
    write(path, batch_of(1, BASE_NS), batch_of(1, BASE_NS - hour_ns), batch_of(1, BASE_NS + 1))
    source = replay("recorded", clock=Clock())
    assert isinstance(source.read(0), PayloadBatch)
    assert isinstance(source.read(0), PayloadBatch)


def test_recorded_speed_begins_anew_with_each_pass(path: Path, replay: Opener) -> None:
    write(path, batch_of(1, BASE_NS), batch_of(1, BASE_NS + 10**9))
    clock = Clock()
    source = replay("recorded", repeat=2, clock=clock)
    assert isinstance(source.read(0), PayloadBatch)
    clock.now_s += 2
    assert isinstance(source.read(0), PayloadBatch)
    assert isinstance(source.read(0), PayloadBatch)
    assert source.read(0) is None


def test_a_fixed_rate_gives_what_is_due(path: Path, replay: Opener) -> None:
    write(path, batch_of(100, BASE_NS), batch_of(100, BASE_NS))
    clock = Clock()
    source = replay(1000.0, clock=clock)
    assert source.read(0) is None
    sizes = []
    for _ in range(40):
        clock.now_s += 0.00501
        item = source.read(0)
        if isinstance(item, PayloadBatch):
            sizes.append(len(item))
    assert sum(sizes) == 200
    assert max(sizes) <= 6


def test_a_fixed_rate_has_slices_of_a_millisecond(path: Path, replay: Opener) -> None:
    write(path, batch_of(250, BASE_NS))
    clock = Clock()
    source = replay(50_000.0, clock=clock)
    source.read(0)
    sizes = []
    while (item := source.read(0)) is not END:
        if isinstance(item, PayloadBatch):
            sizes.append(len(item))
        clock.now_s += 0.0001
    assert sum(sizes) == 250
    assert min(sizes[:-1]) >= 49


def test_a_slow_consumer_gets_what_is_overdue_at_once(path: Path, replay: Opener) -> None:
    write(path, batch_of(250, BASE_NS))
    clock = Clock()
    source = replay(100.0, batch_max=100, clock=clock)
    source.read(0)
    clock.now_s += 2.1
    items = [source.read(0) for _ in range(4)]
    assert [len(item) for item in items if isinstance(item, PayloadBatch)] == [100, 100, 10]
    assert items[3] is None


def test_waking_ends_a_wait(path: Path, replay: Opener) -> None:
    write(path, batch_of(1, BASE_NS), batch_of(1, BASE_NS + 3600 * 10**9))
    source = replay("recorded")
    assert isinstance(source.read(), PayloadBatch)
    threading.Timer(0.05, source.wake).start()
    assert source.read() is None
    source.wake()
    assert source.read() is None
    assert source.read(0.01) is None


def test_a_read_that_becomes_due_within_the_timeout_gives_the_item(
    path: Path, replay: Opener
) -> None:
    write(path, batch_of(1, BASE_NS), batch_of(1, BASE_NS + 20_000_000))
    source = replay("recorded")
    source.read()
    started_s = time.monotonic()
    assert isinstance(source.read(60.0), PayloadBatch)
    assert time.monotonic() - started_s >= 0.015


def test_a_closed_source_is_at_its_end(path: Path, replay: Opener) -> None:
    write(path, batch_of(5, BASE_NS))
    source = replay("max", batch_max=2, repeat=2)
    source.read()
    source.close()
    source.close()
    assert source.read() is END


def test_a_truncated_file_ends_and_says_so(path: Path, replay: Opener) -> None:
    write(path, batch_of(1, BASE_NS), batch_of(1, BASE_NS))
    path.write_bytes(path.read_bytes()[:-1])
    source = replay("max")
    assert not source.truncated
    assert read_everything(source) == [1]
    assert source.truncated


def test_a_damaged_file_is_an_error_when_the_damage_is_reached(path: Path, replay: Opener) -> None:
    path.write_bytes(MAGIC + b"\1\0\0\0\2\0\0\0{}" + b"\x09" * 8)
    source = replay("max")
    assert source.read() == {}
    with pytest.raises(EventFileError):
        source.read()
    source.close()


@pytest.mark.parametrize(
    ("speed", "batch_max", "repeat"), [(0.0, 1, 1), (-1.0, 1, 1), ("max", 0, 1), ("max", 1, 0)]
)
def test_what_is_not_positive_is_refused(
    path: Path, speed: Speed, batch_max: int, repeat: int
) -> None:
    write(path)
    with pytest.raises(ValueError, match="must be positive"):
        ReplaySource(path, speed, batch_max=batch_max, repeat=repeat)
