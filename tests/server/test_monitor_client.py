from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from palomar_proto.monitor.payload import LOST, OPENING, SAMPLE, Payload, PayloadDecoder, encode
from palomar_server.monitor_client import MonitorClient, Room
from palomar_server.monitor_stream import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    yield ours, theirs
    ours.close()
    theirs.close()


def piece(number: int, size_bytes: int = 8) -> Piece:
    payload = Payload(number.to_bytes(size_bytes, "little"), number, 0, SAMPLE)
    return Piece(encode(payload), [number])


def test_nothing_is_sent_before_the_first_piece(ends: tuple[socket.socket, socket.socket]) -> None:
    client = MonitorClient(ends[0], Room(10, 1000))
    assert client.send()
    client.offer(piece(1))
    assert client.send()
    assert ends[1].recv(1000) == OPENING + piece(1).data
    assert not client.waits_for_room


def test_loss_is_told_where_it_happened(ends: tuple[socket.socket, socket.socket]) -> None:
    client = MonitorClient(ends[0], Room(2, 10_000))
    for number in range(4):
        client.offer(piece(number))
    client.send()
    client.offer(piece(4))
    client.send()
    got = PayloadDecoder().feed(ends[1].recv(10_000))
    assert [(one.type, one.cpu, one.lost) for one in got] == [
        (SAMPLE, 0, 0),
        (SAMPLE, 1, 0),
        (LOST, 2, 1),
        (LOST, 3, 1),
        (SAMPLE, 4, 0),
    ]
    assert client.events_lost == 2


def test_loss_of_a_notice_adds_to_the_next(ends: tuple[socket.socket, socket.socket]) -> None:
    client = MonitorClient(ends[0], Room(1, 10_000))
    client.offer(piece(0))
    client.offer(piece(7))
    client.offer(Piece(b"x" * 20_000, told=Counter({7: 5})))
    client.send()
    got = PayloadDecoder().feed(ends[1].recv(10_000))
    assert got[-1] == Payload(b"", 7, 6, LOST)
    assert client.events_lost == 1


def test_full_socket_waits_and_goes_on_in_the_middle(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    client = MonitorClient(ends[0], Room(1000, 10 << 20))
    for number in range(50):
        client.offer(piece(number, 60_000))
    decoder = PayloadDecoder()
    got: list[Payload] = []
    assert client.send()
    assert client.waits_for_room
    while len(got) < 50:
        got += decoder.feed(ends[1].recv(1 << 20))
        assert client.send()
    assert [one.cpu for one in got] == list(range(50))
    assert not client.waits_for_room


def test_client_that_has_gone_is_noticed(ends: tuple[socket.socket, socket.socket]) -> None:
    client = MonitorClient(ends[0], Room(10, 1000))
    ends[1].close()
    client.offer(piece(1))
    assert not client.send()


def test_room_takes_one_of_any_size() -> None:
    room = Room(2, 100)
    assert room.fits(1000, 1000)
    room.take(1, 60)
    assert room.fits(1, 40)
    assert not room.fits(2, 10)
    assert not room.fits(1, 41)
    room.give(1, 60)
    assert room.fits(1000, 1000)
