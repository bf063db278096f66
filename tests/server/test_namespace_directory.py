from __future__ import annotations

import os
import select
import stat
from typing import TYPE_CHECKING

import pytest

from palomar_server.namespace_directory import DirectoryWatch, network_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "netns"


@pytest.fixture
def watch(directory: Path) -> Iterator[DirectoryWatch]:
    watch = DirectoryWatch(directory)
    yield watch
    watch.close()


def wakes(watch: DirectoryWatch) -> bool:
    """Whether a poller would wake within a second."""
    poller = select.poll()
    inotify = next(fd for fd, events in watch.polled().items() if events == select.EPOLLIN)
    poller.register(inotify, select.POLLIN)
    return bool(poller.poll(1000))


def test_a_missing_directory_has_no_namespaces(directory: Path) -> None:
    assert list(network_namespaces(directory)) == []


def test_only_network_namespaces_of_others_are_found(directory: Path) -> None:
    directory.mkdir()
    (directory / "stale").touch()
    (directory / "dangling").symlink_to("/proc/0/ns/net")
    (directory / "own").symlink_to("/proc/self/ns/net")
    (directory / "other-kind").symlink_to("/proc/self/ns/mnt")
    (directory / "directory").mkdir()
    os.mkfifo(directory / "fifo")
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- counted, not used as paths
    assert list(network_namespaces(directory)) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208 -- likewise


def test_the_mount_table_is_polled_for_changes(watch: DirectoryWatch) -> None:
    [mounts] = [fd for fd, events in watch.polled().items() if events == select.EPOLLPRI]
    assert stat.S_ISREG(os.fstat(mounts).st_mode)


def test_names_that_come_and_go_wake(directory: Path) -> None:
    directory.mkdir()
    watch = DirectoryWatch(directory)
    try:
        (directory / "a").touch()
        assert wakes(watch)
        watch.drain()
        (directory / "a").unlink()
        assert wakes(watch)
    finally:
        watch.close()


def test_a_directory_made_after_its_missing_parents_is_watched(directory: Path) -> None:
    deep = directory / "deeper"
    watch = DirectoryWatch(deep)
    try:
        for make in (directory.mkdir, deep.mkdir, (deep / "a").touch):
            make()
            assert wakes(watch)
            watch.drain()
    finally:
        watch.close()


def test_a_directory_removed_and_made_again_is_watched(directory: Path) -> None:
    directory.mkdir()
    watch = DirectoryWatch(directory)
    try:
        directory.rmdir()
        assert wakes(watch)
        watch.drain()
        directory.mkdir()
        assert wakes(watch)
        watch.drain()
        (directory / "a").touch()
        assert wakes(watch)
    finally:
        watch.close()


def test_close_gives_the_descriptors_back(directory: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- counted, not used as paths
    DirectoryWatch(directory).close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 -- likewise
