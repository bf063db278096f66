from __future__ import annotations

import threading

import pytest

from palomar_recorder.ending import Ending, WriteError
from palomar_server.recording.stream_target import PIECE_BYTES_MAX, StreamTarget


def read(target: StreamTarget) -> bytes:
    content = b""
    while (piece := target.take()) is not None:
        assert len(piece) <= PIECE_BYTES_MAX
        content += piece
    return content


def test_what_is_written_comes_out_in_pieces() -> None:
    told = []
    target = StreamTarget()
    target.on_news = lambda: told.append(target.finished)
    target.write([b"head", bytes(2 * PIECE_BYTES_MAX)])
    target.finish([b"tail"])
    assert told == [False, True]
    assert read(target) == b"head" + bytes(2 * PIECE_BYTES_MAX) + b"tail"
    assert target.total_bytes == 2 * PIECE_BYTES_MAX + 8
    assert target.take() is None


def test_nothing_written_is_nothing_to_read() -> None:
    target = StreamTarget()
    assert target.take() is None
    target.finish([])
    assert target.finished
    assert target.take() is None


def test_a_writer_waits_for_its_reader() -> None:
    target = StreamTarget(held_bytes_max=10)
    target.write([bytes(8)])
    done = threading.Event()

    def write() -> None:
        target.write([b"second"])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert not done.wait(0.02)
    assert target.take() == bytes(8)
    assert done.wait(5)
    writer.join()
    assert target.take() == b"second"


def test_more_than_the_bound_passes_alone() -> None:
    target = StreamTarget(held_bytes_max=10)
    target.write([bytes(100)])
    assert read(target) == bytes(100)


def test_without_a_reader_writing_fails_at_once() -> None:
    target = StreamTarget(held_bytes_max=10)
    target.write([bytes(8)])
    failed: list[WriteError] = []

    def write() -> None:
        try:
            target.write([bytes(8)])
        except WriteError as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    target.abandon()
    writer.join(5)
    assert [one.ending for one in failed] == [Ending.CALLER_GONE]
    with pytest.raises(WriteError):
        target.write([b"more"])
    target.finish([b"end"])
    assert target.finished
    assert target.take() is None


def test_a_reader_who_takes_nothing_any_more_is_given_up() -> None:
    target = StreamTarget()
    target.write([b"one"])
    assert target.take() == b"one"
    target.give_up()
    target.write([b"two"])
    target.give_up()
    with pytest.raises(WriteError):
        target.write([b"three"])
