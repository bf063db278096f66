"""Raw payloads from a monitor socket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from palomar.errors import InvalidRequest, ServerError, ServerUnavailable
from palomar.monitor import MonitorClient
from palomar_proto.monitor.payload import LOST, OPENING, SAMPLE, Payload, encode

SENT = [Payload(b"\x04\x01", 3, 0, SAMPLE), Payload(b"", 1, 7, LOST)]
STREAM = OPENING + b"".join(map(encode, SENT))


@contextmanager
def server(path: Path, stream: bytes) -> Iterator[str]:
    """Send one client a stream, and hang up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(stream)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(path)
        thread.join()


@pytest.mark.parametrize("prefix", ["", "unix:", "unix://"])
def test_payloads_come_in_order_until_the_server_ends(tmp_path: Path, prefix: str) -> None:
    with server(tmp_path / "s", STREAM) as path, MonitorClient(prefix + path) as client:
        assert list(client.payloads()) == SENT


def test_payloads_before_the_damage_come_too(tmp_path: Path) -> None:
    got = []
    with server(tmp_path / "s", STREAM + OPENING) as path, MonitorClient(path) as client:
        payloads = client.payloads()
        got += [next(payloads), next(payloads)]
        with pytest.raises(ServerError, match="sent no monitor stream: duplicate type"):
            next(payloads)
    assert got == SENT


def test_end_within_a_message_is_told(tmp_path: Path) -> None:
    with server(tmp_path / "s", STREAM[:-1]) as path, MonitorClient(path) as client:
        payloads = client.payloads()
        assert next(payloads) == SENT[0]
        with pytest.raises(ServerError, match="ends within a message"):
            next(payloads)


def test_message_that_is_cut_short_is_told(tmp_path: Path) -> None:
    with server(tmp_path / "s", STREAM + b"\x00" + STREAM) as path, MonitorClient(path) as client:
        payloads = client.payloads()
        assert [next(payloads), next(payloads)] == SENT
        with pytest.raises(ServerError, match="ended its stream within a message"):
            next(payloads)


def test_missing_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match="there is no such socket"):
        MonitorClient(str(tmp_path / "s"))


def test_dead_socket_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
        with pytest.raises(ServerUnavailable, match="nothing listens on the socket"):
            MonitorClient(str(tmp_path / "s"))


@pytest.mark.parametrize("path", ["", "unix:", "/" + 120 * "x", "/a\0b"])
def test_path_that_can_be_none_is_told(path: str) -> None:
    with pytest.raises(InvalidRequest, match="is no path of a socket"):
        MonitorClient(path)
