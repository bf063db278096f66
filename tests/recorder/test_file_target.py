from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from palomar_recorder.ending import Ending, WriteError
from palomar_recorder.file_target import open_regular, publish
from palomar_recorder.pcapng import PcapngEncoder
from palomar_recorder.sink import Sink
from palomar_recorder.stop_condition import StopCondition
from palomar_recorder.storage import Storage
from palomar_recorder.testing import packets_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20


def storage_at(
    directory: Path,
    *,
    max_bytes: int = 1 << 30,
    free_min_bytes: int = 0,
    file_max_bytes: int = 1 << 30,
) -> Storage:
    return Storage(
        directory,
        max_bytes=max_bytes,
        free_min_bytes=free_min_bytes,
        file_max_bytes=file_max_bytes,
    )


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_at(tmp_path / "recordings")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - its entries are no files


def test_a_finished_file_has_its_name_size_and_checksum(storage: Storage) -> None:
    before = open_files()
    target = storage.create("web-00000001_n", ".pcap")
    target.write([b"head", b"", bytearray(b"body"), np.arange(4, dtype=np.uint8).data])
    partial = storage.directory / "web-00000001_n.pcap.partial"
    assert partial.read_bytes() == b"headbody\0\1\2\3"
    target.finish([b"end"])
    content = b"headbody\0\1\2\3end"
    path = storage.directory / "web-00000001_n.pcap"
    assert path.read_bytes() == content
    assert not partial.exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (target.file_name, target.file_bytes) == (path.name, len(content))
    assert target.sha256 == hashlib.sha256(content).hexdigest()
    assert target.fault == ""
    assert open_files() == before


def test_more_buffers_than_one_call_takes_are_written_in_order(storage: Storage) -> None:
    target = storage.create("a", ".pcap")
    buffers = [bytes([index % 251]) * (index % 7) for index in range(5_000)]
    target.write(buffers)
    target.finish([])
    assert (storage.directory / "a.pcap").read_bytes() == b"".join(buffers)


def test_the_checksum_catches_up_by_pieces(storage: Storage) -> None:
    target = storage.create("a", ".pcap")
    content = os.urandom(3 * MIB + 5)
    target.write([content])
    assert [target.catch_up() for _ in range(4)] == [True, True, False, False]
    target.write([b"more"])
    target.finish([])
    assert target.sha256 == hashlib.sha256(content + b"more").hexdigest()


def test_a_file_does_not_pass_its_limit(tmp_path: Path) -> None:
    target = storage_at(tmp_path / "r", file_max_bytes=100).create("a", ".pcap")
    target.write([bytes(60)])
    assert target.room_bytes == 40
    with pytest.raises(WriteError, match="recording_max_bytes is 100") as caught:
        target.write([bytes(41)])
    assert caught.value.ending is Ending.FILE_SIZE
    target.write([bytes(40)])
    target.finish([])
    assert target.file_bytes == 100


def test_files_under_way_share_the_quota(tmp_path: Path) -> None:
    storage = storage_at(tmp_path / "r", max_bytes=100)
    targets = [storage.create(name, ".pcap") for name in ("a", "b")]
    targets[0].write([bytes(60)])
    with pytest.raises(WriteError) as caught:
        targets[1].write([bytes(41)])
    assert caught.value.ending is Ending.QUOTA
    targets[1].write([bytes(40)])
    assert storage.used_bytes == 100
    for target in targets:
        target.finish([])
    assert storage.used_bytes == 100


def test_the_floor_ends_a_recording(tmp_path: Path) -> None:
    storage = storage_at(tmp_path / "r")
    target = storage.create("a", ".pcap")
    target.write([b"some"])
    storage._space._free_min_bytes = 1 << 62
    with pytest.raises(WriteError, match="are free") as caught:
        target.write([b"more"])
    assert caught.value.ending is Ending.DISK_FULL
    target.finish([b"end"])
    assert (tmp_path / "r" / "a.pcap").read_bytes() == b"someend"


def test_a_piece_that_the_system_cuts_short_is_removed(storage: Storage) -> None:
    target = storage.create("a", ".pcap")
    target.write([bytes(100)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        with pytest.raises(WriteError) as caught:
            target.write([bytes(30), bytes(30)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.ending is Ending.FILE_SIZE
    assert (storage.directory / "a.pcap.partial").stat().st_size == 100
    assert storage.used_bytes == 100
    target.finish([])
    assert target.file_bytes == 100


@pytest.fixture
def small_disk(live: None, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(folder))
    subprocess.run(mount, check=True, timeout=10)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


@pytest.mark.live
def test_a_full_disk_leaves_what_was_written_before(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_at(small_disk)
    # As of a file system that has more room than it gives to one user.
    elsewhere = os.statvfs("/")
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: elsewhere)
    target = storage.create("a", ".pcap")
    piece = os.urandom(50_000)
    for _ in range(5):
        target.write([piece])
    with pytest.raises(WriteError, match="No space left on device") as caught:
        target.write([piece[:2_000], piece[2_000:]])
    assert caught.value.ending is Ending.DISK_FULL
    assert target.file_bytes == storage.used_bytes == 250_000
    target.finish([])
    assert target.fault == ""
    assert (small_disk / "a.pcap").read_bytes() == piece * 5
    assert target.sha256 == hashlib.sha256(piece * 5).hexdigest()


@pytest.mark.live
def test_a_full_disk_at_the_end_is_a_fault_and_costs_no_packets(small_disk: Path) -> None:
    target = storage_at(small_disk).create("a", ".pcap")
    target.write([bytes(190_000)])
    target.finish([bytes(100_000)])
    assert "its end could not be written: No space left on device" in target.fault
    assert (small_disk / "a.pcap").stat().st_size == 190_000


@pytest.mark.live
def test_a_recording_that_meets_a_full_disk_says_so_and_is_readable(small_disk: Path) -> None:
    target = storage_at(small_disk).create("a", ".pcapng")
    sink = Sink(
        PcapngEncoder(snaplen_bytes=0, comment="a", node_name="n"),
        target,
        snaplen_bytes=0,
        stop=StopCondition(),
        queue_bytes_max=1 << 20,
        on_change=_nothing,
        on_end=_nothing,
    )
    sink.start()
    sink.offer(packets_of([bytes(900)] * 400))
    assert sink.join(10)
    assert sink.ending is Ending.DISK_FULL
    assert sink.message.endswith("which the ends of recordings need: make room")
    assert target.fault == ""
    counts = sink.counts
    assert counts.written.packets + counts.lost_disk.packets == counts.captured.packets
    path = small_disk / "a.pcapng"
    command = ["capinfos", "-c", "-M", "-r", "-T", str(path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert int(told.stdout.split("\t")[1]) == counts.written.packets > 200


def _nothing() -> None:
    """Nobody wants to know."""


def test_finishing_does_not_take_the_name_of_another_file(storage: Storage) -> None:
    target = storage.create("a", ".pcap")
    target.write([b"mine"])
    other = storage.directory / "a.pcap"
    other.write_bytes(b"other")
    target.finish([])
    assert "a.pcap: it could not be given its name: File exists" in target.fault
    assert other.read_bytes() == b"other"
    assert (storage.directory / "a.pcap.partial").read_bytes() == b"mine"


def test_a_discarded_file_is_gone_and_so_are_its_bytes(storage: Storage) -> None:
    before = open_files()
    target = storage.create("a", ".pcap")
    target.write([bytes(100)])
    target.discard()
    target.finish([b"end"])
    assert list(storage.directory.iterdir()) == []
    assert storage._space._used_bytes == 0
    assert open_files() == before


def test_publishing_ends_what_a_crash_left_between_two_names(tmp_path: Path) -> None:
    partial = tmp_path / "a.pcap.partial"
    partial.write_bytes(b"x")
    (tmp_path / "a.pcap").hardlink_to(partial)
    fd = os.open(tmp_path, os.O_RDONLY)
    publish(fd, "a.pcap", contextlib.nullcontext())
    os.close(fd)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcap"]


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = open_files()
    fd = os.open(tmp_path, os.O_RDONLY)
    os.close(open_regular("plain", os.O_RDONLY, fd))
    for name in ("link", "folder", "pipe"):
        with pytest.raises(OSError, match=r"symbolic links|not a plain file") as caught:
            open_regular(name, os.O_RDONLY, fd)
        assert caught.value.errno in {errno.ELOOP, errno.EINVAL}
    os.close(fd)
    assert open_files() == before


WRITER = """
import sys
import threading
from pathlib import Path
from palomar_recorder.sink import Sink
from palomar_recorder.stop_condition import StopCondition
from palomar_recorder.storage import Storage
from palomar_recorder.testing import packets_of
from palomar_recorder.{module} import {encoder}

def nothing():
    pass

storage = Storage(Path(sys.argv[1]), max_bytes=1 << 30, free_min_bytes=0, file_max_bytes=1 << 30)
encoder = {encoder}(snaplen_bytes=0, {arguments})
sink = Sink(
    encoder, storage.create("a", encoder.suffix), snaplen_bytes=0, stop=StopCondition(),
    queue_bytes_max=1 << 20, on_change=nothing, on_end=nothing,
)
sink.start()
number = 0
while True:
    before = sink.counts.written.packets
    sink.offer(packets_of([b"packet %08d" % (number + one) + bytes(999) for one in range(100)]))
    number += 100
    while sink.counts.written.packets < number:
        pass
    if number == 1_000:
        print("writing", flush=True)
"""


@pytest.mark.parametrize(
    ("module", "encoder", "arguments", "suffix"),
    [
        ("pcap", "PcapEncoder", "", ".pcap"),
        ("pcapng", "PcapngEncoder", "comment='a', node_name='n'", ".pcapng"),
    ],
)
def test_a_recording_that_is_killed_leaves_a_readable_file(
    tmp_path: Path, module: str, encoder: str, arguments: str, suffix: str
) -> None:
    script = WRITER.format(module=module, encoder=encoder, arguments=arguments)
    folder = tmp_path / "recordings"
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        storage = storage_at(folder)
        assert storage.orphans() == []  # its writer lives
        os.kill(writer.pid, signal.SIGKILL)
    name = f"a{suffix}.partial"
    assert storage.orphans() == [name]
    # The kernel ends a write in the middle only when it must: help it.
    with (folder / name).open("r+b") as file:
        file.truncate((folder / name).stat().st_size - 7)
    adopted = storage.adopt(name)
    path = folder / f"a{suffix}"
    content = path.read_bytes()
    assert adopted.file_bytes == len(content)
    assert adopted.sha256 == hashlib.sha256(content).hexdigest()
    found = [content.find(b"packet %08d" % one + bytes(999)) for one in range(999)]
    assert all(place > 0 for place in found)
    assert found == sorted(found)
    subprocess.run(["capinfos", "-c", str(path)], check=True, capture_output=True, timeout=30)


def test_files_that_get_their_names_are_not_missed_in_the_count(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "r", max_bytes=1 << 30, free_min_bytes=0, file_max_bytes=1 << 30)
    targets = [storage.create(f"a{number}", ".pcap") for number in range(100)]
    for target in targets:
        target.write([bytes(100)])

    def finish() -> None:
        for target in targets:
            target.finish([])

    finishing = threading.Thread(target=finish)
    finishing.start()
    counted = {storage.used_bytes}
    while finishing.is_alive():
        counted.add(storage.used_bytes)
    assert counted == {100 * 100}
