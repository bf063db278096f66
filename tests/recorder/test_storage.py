from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from palomar_recorder.counts import Counts
from palomar_recorder.file_target import FileTarget
from palomar_recorder.pcapng import PcapngEncoder
from palomar_recorder.storage import Storage, StorageError, StorageFullError
from palomar_recorder.testing import packets_of
from palomar_recorder.whole_length import whole_length

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def storage_at(directory: Path, *, max_bytes: int = 1 << 20, free_min_bytes: int = 0) -> Storage:
    return Storage(
        directory, max_bytes=max_bytes, free_min_bytes=free_min_bytes, file_max_bytes=1 << 20
    )


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_at(tmp_path / "var" / "recordings")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_nothing_is_made_before_it_is_needed(storage: Storage) -> None:
    assert storage.used_bytes == 0
    assert storage.orphans() == []
    storage.delete("a.pcap")
    assert storage.file_bytes("a.pcap") is None
    assert not storage.directory.parent.exists()


def test_directories_and_files_are_private(storage: Storage) -> None:
    storage.create("a", ".pcap")
    for path, mode in [
        (storage.directory.parent, 0o700),
        (storage.directory, 0o700),
        (storage.directory / "a.pcap.partial", 0o600),
    ]:
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StorageError, match="others may write to it: make it mode 0700"):
        storage_at(tmp_path).create("a", ".pcap")
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory away")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 65_534, 65_534)
    with pytest.raises(StorageError, match="belongs to uid 65534 with mode 0700"):
        storage_at(theirs).create("a", ".pcap")


def test_a_directory_that_is_a_link_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("x")
    for name in ("link", "file"):
        with pytest.raises(StorageError, match="no directory, or a symbolic link"):
            storage_at(tmp_path / name).create("a", ".pcap")
    assert names(tmp_path / "real") == []


@pytest.mark.parametrize("there", ["a.pcap", "a.pcap.partial"])
@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_a_name_that_is_taken_is_never_reused_or_followed(
    storage: Storage, there: str, kind: str
) -> None:
    storage.create("other", ".pcap").discard()
    outside = storage.directory.parent / "outside"
    path = storage.directory / there
    if kind == "file":
        path.write_text("theirs")
    else:
        if kind == "link":
            outside.write_text("theirs")
        path.symlink_to(outside)
    with pytest.raises(StorageError, match=r"a\.pcap: File exists"):
        storage.create("a", ".pcap")
    assert names(storage.directory) == [there]
    assert outside.exists() == (kind == "link")


@pytest.mark.parametrize("stem", ["", "../a", "/a", "a/b", ".a", "a\0", "a" * 300])
def test_stems_that_lead_elsewhere_are_refused(storage: Storage, stem: str) -> None:
    for action in (
        lambda: storage.create(stem, ".pcap"),
        lambda: storage.open(f"{stem}.pcap"),
        lambda: storage.delete(f"{stem}.pcap"),
        lambda: storage.adopt(f"{stem}.pcap"),
    ):
        with pytest.raises(StorageError, match="file name"):
            action()
    assert not storage.directory.exists()


def test_of_many_who_want_one_name_one_gets_it(storage: Storage) -> None:
    made: list[object] = []

    def create() -> None:
        try:
            made.append(storage.create("a", ".pcap"))
        except StorageError:
            made.append(None)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert made.count(None) == 7


def test_a_full_quota_lets_nothing_begin(tmp_path: Path) -> None:
    storage = storage_at(tmp_path / "r", max_bytes=100)
    target = storage.create("a", ".pcap")
    target.write([bytes(100)])
    target.finish([])
    with pytest.raises(StorageFullError, match="recordings_max_bytes is 100"):
        storage.create("b", ".pcap")
    storage.delete("a.pcap")
    storage.create("b", ".pcap")


def test_too_little_free_space_lets_nothing_begin(tmp_path: Path) -> None:
    with pytest.raises(StorageFullError, match="recordings_free_min_bytes"):
        storage_at(tmp_path / "r", free_min_bytes=1 << 62).create("b", ".pcap")


def test_everything_in_the_directory_counts_as_used(storage: Storage) -> None:
    storage.create("a", ".pcap").finish([bytes(10)])
    storage.create("b", ".pcapng").write([bytes(20)])
    (storage.directory / "c.pcap.json").write_bytes(bytes(3))
    assert storage.used_bytes == 33
    (storage.directory / "a.pcap").unlink()
    assert storage.used_bytes == 23


def test_a_finished_file_is_read_and_removed_with_its_sidecar(storage: Storage) -> None:
    storage.create("a", ".pcap").finish([b"content"])
    (storage.directory / "a.pcap.json").write_text("{}")
    with storage.open("a.pcap") as file:
        file.seek(3)
        assert file.read() == b"tent"
    assert storage.file_bytes("a.pcap") == 7
    storage.delete("a.pcap")
    storage.delete("a.pcap")
    assert names(storage.directory) == []
    with pytest.raises(StorageError, match=r"reading a\.pcap in .*: No such file"):
        storage.open("a.pcap")


def test_a_link_is_not_read(storage: Storage) -> None:
    storage.create("b", ".pcap")
    secret = storage.directory.parent / "secret"
    secret.write_text("secret")
    (storage.directory / "a.pcap").symlink_to(secret)
    with pytest.raises(StorageError, match="symbolic links"):
        storage.open("a.pcap")
    storage.delete("a.pcap")
    assert secret.exists()


def test_orphans_are_files_that_nobody_writes_to(storage: Storage) -> None:
    storage.create("alive", ".pcap").write([b"x"])
    for name in ("dead.pcap.partial", "dead.pcapng.partial", "a.pcap.json.partial", "x.partial"):
        (storage.directory / name).touch()
    (storage.directory / "link.pcap.partial").symlink_to("dead.pcap.partial")
    assert storage.orphans() == ["dead.pcap.partial", "dead.pcapng.partial"]


def test_no_file_is_half_made_while_somebody_looks_for_orphans(storage: Storage) -> None:
    storage.create("first", ".pcap").discard()
    with storage.in_use("looking") as directory_fd:
        fcntl.flock(directory_fd, fcntl.LOCK_EX)
        making = threading.Thread(target=storage.create, args=("a", ".pcap"))
        making.start()
        making.join(0.05)
        assert names(storage.directory) == []
    making.join()
    assert names(storage.directory) == ["a.pcap.partial"]


@pytest.mark.parametrize(
    "end", [FileTarget.discard, lambda target: target.finish([])], ids=["discard", "finish"]
)
def test_a_file_that_ends_while_it_is_looked_at_is_no_orphan(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, end: Callable[[FileTarget], None]
) -> None:
    target = storage.create("a", ".pcap")

    def slow_flock(fd: int, operation: int) -> None:
        if operation & fcntl.LOCK_NB:
            end(target)
        flock(fd, operation)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", slow_flock)
    assert storage.orphans() == []


def test_a_living_file_is_not_adopted(storage: Storage) -> None:
    target = storage.create("a", ".pcap")
    with pytest.raises(StorageError, match="somebody is still writing to it"):
        storage.adopt("a.pcap.partial")
    target.finish([])
    assert target.fault == ""


def test_an_adopted_file_is_cut_to_its_last_whole_packet(storage: Storage) -> None:
    storage.create("other", ".pcap").discard()
    encoder = PcapngEncoder(snaplen_bytes=0, comment="", node_name="n")
    pieces = [*encoder.begin(), *encoder.encode(packets_of([b"one", b"two"]))]
    whole = b"".join(bytes(piece) for piece in pieces)
    rest = b"".join(bytes(piece) for piece in encoder.end(Counts(), 0))
    partial = storage.directory / "a.pcapng.partial"
    partial.write_bytes(whole + rest[:-1])
    assert storage.adopt("a.pcapng.partial").file_bytes >= len(whole)
    assert names(storage.directory) == ["a.pcapng"]
    assert (storage.directory / "a.pcapng").read_bytes().startswith(whole)
    assert storage.used_bytes == storage.file_bytes("a.pcapng")


@pytest.mark.parametrize(("suffix", "least"), [(".pcap", 24), (".pcapng", 28)])
@pytest.mark.parametrize("content", [b"", b"\xd4\xc3", bytes(100)], ids=len)
def test_an_orphan_without_a_whole_header_is_adopted_as_a_file_without_packets(
    storage: Storage, suffix: str, least: int, content: bytes
) -> None:
    storage.create("other", ".pcap").discard()
    (storage.directory / f"a{suffix}.partial").write_bytes(content)
    adopted = storage.adopt(f"a{suffix}")
    assert names(storage.directory) == [f"a{suffix}"]
    with storage.open(f"a{suffix}") as file:
        assert adopted.file_bytes == whole_length(file) >= least
        file.seek(0)
        assert adopted.sha256 == hashlib.sha256(file.read()).hexdigest()


def test_what_a_dead_writer_left_is_removed_and_what_a_living_one_writes_is_not(
    storage: Storage,
) -> None:
    storage.create("dead", ".pcap")._close()
    living = storage.create("living", ".pcap")
    storage.delete("dead.pcap")
    storage.delete("living.pcap")
    assert names(storage.directory) == ["living.pcap.partial"]
    living.discard()
