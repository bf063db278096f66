"""Streams of gobs, and the gobs in Hubble's conformance cases."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.gob import (
    Basic,
    Encoder,
    GobError,
    StreamDecoder,
    StreamError,
    Struct,
    decode_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POINT = Struct("Point", (("X", Basic.INT), ("Y", Basic.INT)))
ENCODER = Encoder(POINT)
POINTS = [{"X": n, "Y": -n} for n in range(1, 40)]
STREAM = ENCODER.descriptions + b"".join(map(ENCODER.encode, POINTS))


@given(st.lists(st.integers(0, len(STREAM))))
def test_stream_may_arrive_in_any_parts(cuts: list[int]) -> None:
    decoder = StreamDecoder()
    values: list[Any] = []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(edges):
        values += decoder.feed(STREAM[start:end])
    decoder.finish()
    assert values == POINTS


@pytest.mark.parametrize("end", [1, len(ENCODER.descriptions), len(STREAM) - 1])
def test_stream_that_ends_early_is_an_error(end: int) -> None:
    decoder = StreamDecoder()
    decoder.feed(STREAM[:end])
    with pytest.raises(StreamError, match="ends within a message"):
        decoder.finish()


def test_values_before_the_damage_are_in_the_error() -> None:
    with pytest.raises(StreamError, match="duplicate type received") as caught:
        StreamDecoder().feed(STREAM + STREAM)
    assert caught.value.values == POINTS


@pytest.mark.parametrize("end", [b"\x00", b"\x03\xff\x80\x01"])
@pytest.mark.parametrize("size", [1, 1000])
def test_message_that_ends_where_a_number_is_due_ends_the_stream(end: bytes, size: int) -> None:
    stream = STREAM + end + STREAM
    decoder = StreamDecoder()
    values: list[Any] = []
    for start in range(0, len(stream), size):
        values += decoder.feed(stream[start : start + size])
    decoder.finish()
    assert decoder.ended
    assert values == POINTS


def test_message_beyond_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(GobError, match="a message of 1000 bytes; at most 100 fit"):
        StreamDecoder(message_bytes_max=100).feed(b"\xfe\x03\xe8")


def test_long_length_may_arrive_byte_by_byte() -> None:
    decoder = StreamDecoder()
    assert decoder.feed(b"\xfe") == decoder.feed(b"\x01") == []


def test_description_with_something_behind_it_is_refused() -> None:
    damaged = bytes((ENCODER.descriptions[0] + 1,)) + ENCODER.descriptions[1:] + b"\x00"
    with pytest.raises(GobError, match="follow a type description"):
        decode_value(damaged)


def test_empty_message_is_refused() -> None:
    with pytest.raises(GobError):
        decode_value(b"\x00")


def test_what_follows_the_first_value_is_ignored() -> None:
    assert decode_value(STREAM + b"padding") == POINTS[0]


def test_data_without_a_value_are_refused() -> None:
    with pytest.raises(GobError, match="end before a value"):
        decode_value(ENCODER.descriptions)


def cases(shared: Path, kind: str) -> Iterator[dict[str, Any]]:
    with (shared / "conformance" / "decode.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            if (case := json.loads(line))["kind"] == kind:
                yield case


def test_agent_notices_of_hubble_are_understood(shared: Path) -> None:
    for case in cases(shared, "agent"):
        value = decode_value(bytes.fromhex(case["data"])[1:])
        assert value.get("Type", 0) == case["agent_type"], case["name"]
        assert value.get("Text", "") == case["agent_text"], case["name"]


def agrees(value: Any, record: Any) -> bool:
    """Whether a decoded value is what Go's JSON of it says; bytes of opaque types are taken."""
    if isinstance(value, bytes):
        return record is not None
    if isinstance(value, list):
        return len(value) == len(record) and all(map(agrees, value, record))
    if not isinstance(value, dict):
        return bool(value == record)
    if value == {}:
        return not record or isinstance(record, dict)
    by_name = {name.lower(): one for name, one in record.items()}
    return all(agrees(one, by_name[name.lower()]) for name, one in value.items())


def test_access_log_records_of_hubble_are_understood(shared: Path) -> None:
    for case in cases(shared, "access_log"):
        for step in case["steps"]:
            value = decode_value(bytes.fromhex(step["data"])[1:])
            assert agrees(value, step["record"]), case["name"]
            sent = {name for name, one in step["record"].items() if one}
            assert sent - value.keys() <= {"NodeAddressInfo"}, case["name"]
