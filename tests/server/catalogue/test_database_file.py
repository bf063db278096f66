from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from palomar_server.catalogue.database_file import is_disk_full, make_database_file

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_nobody_else_may_read_what_is_made(tmp_path: Path) -> None:
    path = tmp_path / "state" / "palomar.db"
    before = os.umask(0)
    try:
        make_database_file(path)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "palomar.db"
    path.write_bytes(b"content")
    path.chmod(0o640)
    make_database_file(path)
    assert path.read_bytes() == b"content"
    assert mode(path) == 0o640


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "palomar.db"
    path.touch()
    path.chmod(0o602)
    with pytest.raises(OSError, match="may be written by others"):
        make_database_file(path)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "palomar.db"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        make_database_file(path)
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(OSError, match="no regular file"):
        make_database_file(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        make_database_file(tmp_path)


@pytest.mark.parametrize("bits", [0o777, 0o1777, 0o770])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, bits: int) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(bits)
    with pytest.raises(OSError, match="state may be written by others"):
        make_database_file(tmp_path / "state" / "palomar.db")
    assert not [*(tmp_path / "state").iterdir()]


def test_a_disk_with_room_is_not_full(tmp_path: Path) -> None:
    assert not is_disk_full(tmp_path / "palomar.db")
    assert not is_disk_full(tmp_path / "none" / "palomar.db")


@pytest.mark.live
@pytest.mark.usefixtures("live")
def test_a_full_disk_is(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", tmp_path], check=True)
    try:
        assert not is_disk_full(tmp_path / "palomar.db")
        (tmp_path / "filler").write_bytes(bytes(100 << 10))
        assert is_disk_full(tmp_path / "palomar.db")
    finally:
        subprocess.run(["umount", tmp_path], check=True)
