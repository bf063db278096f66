from __future__ import annotations

import socket
from pathlib import Path

import pytest

from palomar_server.hang_up import hang_up


def accepted(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a new connection, the accepted one first."""
    client = socket.socket(listener.family)
    client.settimeout(10)
    client.connect(listener.getsockname())
    return listener.accept()[0], client


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def test_accepted_connections_are_cut_and_no_others(path: Path) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with (
        socket.socket(socket.AF_UNIX) as ours,
        socket.socket(socket.AF_UNIX) as another,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        for listener, name in ((ours, str(path)), (another, f"{path}2")):
            listener.bind(name)
            listener.listen()
        pairs = [accepted(listener) for listener in (ours, tcp, another)]
        assert hang_up(path, tcp.getsockname()[1]) == 2
        assert [client.recv(1) for _, client in pairs[:2]] == [b"", b""]
        kept_server, kept_client = pairs[2]
        kept_server.sendall(b"x")
        assert kept_client.recv(1) == b"x"
        # Those that listen go on.
        pairs.append(accepted(ours))
        for pair in pairs:
            for end in pair:
                end.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_without_connections_there_is_nothing_to_cut(path: Path) -> None:
    assert hang_up(path) == 0
    assert hang_up(path, 1) == 0
