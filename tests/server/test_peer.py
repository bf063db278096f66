from __future__ import annotations

import os
import socket

import pytest

from palomar_server.peer import OWN, Peer, peer_of


def test_a_process_on_the_unix_socket_is_known_by_its_user() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert peer == Peer(f"unix:pid={os.getpid()}", uid=os.getuid(), pid=os.getpid())
    assert peer.who == f"unix:uid={os.getuid()}"


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_host_is_the_same_peer_from_every_port(family: socket.AddressFamily, host: str) -> None:
    with socket.create_server((host, 0), family=family) as listening:
        clients = [socket.create_connection(listening.getsockname()[:2]) for _ in range(2)]
        accepted = [listening.accept()[0] for _ in clients]
        peers = {peer_of(connection) for connection in accepted}
        for connection in (*clients, *accepted):
            connection.close()
    assert peers == {Peer(f"tcp:{host}")}
    assert {peer.who for peer in peers} == {f"tcp:{host}"}


def test_whom_a_certificate_names_is_one_wherever_it_comes_from() -> None:
    assert Peer("tcp:192.0.2.1", certificate_name="portal").who == "name:portal"


def test_requests_of_this_process_have_a_peer_too() -> None:
    assert OWN.who == f"unix:uid={os.getuid()}"


def test_one_that_is_gone_already_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        connection = listening.accept()[0]
        connection.shutdown(socket.SHUT_RDWR)
        client.close()
        with connection, pytest.raises(OSError, match="not connected"):
            peer_of(connection)
