from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from palomar_recorder.ending import Ending, WriteError
from palomar_recorder.space import ENDS_BYTES, Space

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_claims_of_all_count_together(fd: int) -> None:
    space = Space(max_bytes=100, free_min_bytes=0, count_bytes=lambda: 60)
    assert space.recount() == 60
    space.take(30, fd)
    with pytest.raises(WriteError, match="recordings_max_bytes is 100") as caught:
        space.take(11, fd)
    assert caught.value.ending is Ending.QUOTA


def test_what_was_not_written_is_free_again(fd: int) -> None:
    space = Space(max_bytes=100, free_min_bytes=0, count_bytes=lambda: 0)
    space.take(90, fd)
    space.settle(90, 0)
    assert space.room_bytes(fd) == 100
    space.take(90, fd)
    space.settle(90, 90)
    assert space.room_bytes(fd) == 10


def test_files_that_somebody_removed_make_room_at_the_limit(fd: int) -> None:
    sizes = [100]
    space = Space(max_bytes=100, free_min_bytes=0, count_bytes=lambda: sum(sizes))
    space.recount()
    with pytest.raises(WriteError):
        space.take(1, fd)
    sizes.clear()
    space.take(100, fd)


def test_the_floor_of_the_file_system_is_left_free(fd: int) -> None:
    space = Space(max_bytes=1 << 60, free_min_bytes=1 << 60, count_bytes=lambda: 0)
    with pytest.raises(WriteError, match="recordings_free_min_bytes") as caught:
        space.take(1, fd)
    assert caught.value.ending is Ending.DISK_FULL


def test_something_is_left_free_for_the_ends_of_files_where_no_floor_is_set(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space(max_bytes=1 << 60, free_min_bytes=0, count_bytes=lambda: 0)
    blocks = ENDS_BYTES // 4_096 + 1
    disk = os.statvfs_result((4_096, 4_096, blocks, blocks, blocks, 1, 1, 1, 0, 255))
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: disk)
    assert space.room_bytes(fd) == 4_096
    space.take(4_096, fd)
    with pytest.raises(WriteError, match="which the ends of recordings need") as caught:
        space.take(1, fd)
    assert caught.value.ending is Ending.DISK_FULL


def test_the_room_is_what_the_nearest_limit_leaves(fd: int) -> None:
    free_bytes = os.fstatvfs(fd).f_bavail * os.fstatvfs(fd).f_frsize
    space = Space(max_bytes=1 << 62, free_min_bytes=0, count_bytes=lambda: 0)
    # Others may fill or empty this disk meanwhile.
    assert abs(space.room_bytes(fd) + ENDS_BYTES - free_bytes) < free_bytes / 2
    floored = Space(max_bytes=1 << 62, free_min_bytes=1 << 62, count_bytes=lambda: 0)
    assert floored.room_bytes(fd) < 0


def test_bytes_without_a_claim_are_counted(fd: int) -> None:
    space = Space(max_bytes=100, free_min_bytes=0, count_bytes=lambda: 0)
    space.add(40)
    assert space.room_bytes(fd) == 60
    space.add(-40)
    assert space.room_bytes(fd) == 100


def test_what_goes_while_nothing_is_counted_is_free(fd: int) -> None:
    space = Space(max_bytes=100, free_min_bytes=0, count_bytes=lambda: 60)
    space.recount()
    with space.still(-60):
        assert not space._lock.acquire(blocking=False)
    assert space.room_bytes(fd) == 100
