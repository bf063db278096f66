from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from palomar_recorder.sidecar import read_sidecar, remove_sidecar, write_sidecar
from palomar_recorder.storage import Storage, StorageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(
        tmp_path / "recordings", max_bytes=1 << 20, free_min_bytes=0, file_max_bytes=1 << 20
    )
    storage.create("web-00000001_n", ".pcap").finish([b"x"])
    return storage


def test_a_sidecar_lies_beside_its_file_and_is_private(storage: Storage) -> None:
    assert write_sidecar(storage, "web-00000001_n.pcap", '{"ä": 1}\n') == "web-00000001_n.pcap.json"
    path = storage.directory / "web-00000001_n.pcap.json"
    assert path.read_bytes() == '{"ä": 1}\n'.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(one.name for one in storage.directory.iterdir()) == [
        "web-00000001_n.pcap",
        "web-00000001_n.pcap.json",
    ]


def test_a_sidecar_takes_the_place_of_an_older_one_and_of_half_of_one(storage: Storage) -> None:
    (storage.directory / "web-00000001_n.pcap.json.partial").write_text("half of")
    write_sidecar(storage, "web-00000001_n.pcap", "old")
    write_sidecar(storage, "web-00000001_n.pcap", "new")
    assert (storage.directory / "web-00000001_n.pcap.json").read_text() == "new"
    assert len(list(storage.directory.iterdir())) == 2


def test_a_link_in_the_place_of_a_sidecar_is_replaced_and_not_followed(
    storage: Storage, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_text("untouched")
    for name in ("web-00000001_n.pcap.json", "web-00000001_n.pcap.json.partial"):
        (storage.directory / name).symlink_to(other)
    write_sidecar(storage, "web-00000001_n.pcap", "new")
    assert other.read_text() == "untouched"
    assert not (storage.directory / "web-00000001_n.pcap.json").is_symlink()


def test_only_files_with_packets_have_sidecars(storage: Storage) -> None:
    with pytest.raises(StorageError, match="file name"):
        write_sidecar(storage, "../evil.pcap", "{}")


def test_a_directory_that_is_gone_is_told(storage: Storage) -> None:
    storage.delete("web-00000001_n.pcap")
    storage.directory.rmdir()
    with pytest.raises(StorageError, match=r"writing a\.pcap\.json"):
        write_sidecar(storage, "a.pcap", "{}")


def test_what_was_written_is_read_but_through_no_link(storage: Storage) -> None:
    write_sidecar(storage, "web-00000001_n.pcap", '{"ä": 1}\n')
    assert read_sidecar(storage, "web-00000001_n.pcap") == '{"ä": 1}\n'
    (storage.directory / "a.pcap.json").symlink_to("web-00000001_n.pcap.json")
    for name in ("a.pcap", "none.pcap"):
        with pytest.raises(StorageError, match=f"reading {name}.json"):
            read_sidecar(storage, name)


def test_a_sidecar_that_is_removed_leaves_its_file(storage: Storage) -> None:
    write_sidecar(storage, "web-00000001_n.pcap", "{}")
    for _ in range(2):
        remove_sidecar(storage, "web-00000001_n.pcap")
    assert [one.name for one in storage.directory.iterdir()] == ["web-00000001_n.pcap"]
