from __future__ import annotations

import socket
import stat
from typing import TYPE_CHECKING

import pytest

from palomar_server.unix_socket import UnixListener

if TYPE_CHECKING:
    from pathlib import Path


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def test_socket_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "new" / "monitor.sock"
    listener = UnixListener(path, 0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connect(path).close()
    listener.close()
    assert not path.exists()


def test_mode_is_what_was_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    listener = UnixListener(tmp_path / "s", 0o666)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o666
    listener.close()


def test_socket_that_a_killed_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()
    listener = UnixListener(path, 0o600)
    connect(path).close()
    listener.close()


def test_second_palomard_is_refused(tmp_path: Path) -> None:
    first = UnixListener(tmp_path / "s", 0o600)
    with pytest.raises(OSError, match="another process serves"):
        UnixListener(tmp_path / "s", 0o600)
    connect(tmp_path / "s").close()
    first.close()
    UnixListener(tmp_path / "s", 0o600).close()


def test_socket_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        with pytest.raises(OSError, match="another process serves"):
            UnixListener(tmp_path / "s", 0o600)
        connect(tmp_path / "s").close()


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(OSError, match="a file that is no socket"):
        UnixListener(tmp_path / "s", 0o600)
    assert (tmp_path / "s").read_text() == "precious"


def test_path_that_cannot_be_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long for a unix socket"):
        UnixListener(tmp_path / ("x" * 200), 0o600)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot listen on .*/file/s: "):
        UnixListener(tmp_path / "file" / "s", 0o600)
