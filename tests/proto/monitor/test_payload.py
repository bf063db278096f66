"""The stream of the monitor socket against streams that Go made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.gob import Encoder
from palomar_proto.monitor.payload import (
    LOST,
    OPENING,
    PAYLOAD,
    SAMPLE,
    Payload,
    PayloadDecoder,
    PayloadError,
    encode,
    sample_around,
)

if TYPE_CHECKING:
    from pathlib import Path

PAYLOADS = st.builds(
    Payload,
    data=st.binary(max_size=400),
    cpu=st.integers(-(2**63), 2**63 - 1),
    lost=st.integers(0, 2**64 - 1),
    type=st.integers(-10, 10),
)


def decoded(stream: bytes, step: int) -> tuple[list[Payload], bool]:
    """The payloads of a stream that arrives in parts of `step` bytes, and whether it is whole."""
    decoder = PayloadDecoder()
    payloads: list[Payload] = []
    try:
        for start in range(0, len(stream), step):
            payloads += decoder.feed(stream[start : start + step])
        decoder.finish()
    except PayloadError as error:
        return payloads + error.payloads, False
    return payloads, True


def cases(shared: Path) -> list[dict[str, Any]]:
    with (shared / "conformance" / "monitor_socket.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def payloads_of(case: dict[str, Any]) -> list[Payload]:
    return [
        Payload(bytes.fromhex(one["data"]), one["cpu"], one["lost"], one["type"])
        for one in case["payloads"]
    ]


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_streams_of_go_are_understood(shared: Path, step: int) -> None:
    for case in cases(shared):
        expected = payloads_of(case), case["error"] is None
        assert decoded(bytes.fromhex(case["stream"]), step) == expected, case["name"]


def test_streams_are_those_of_go_byte_for_byte(shared: Path) -> None:
    # Go numbered the type 86 in the process that made the cases; ours is always 64.
    encoder = Encoder(PAYLOAD, first_id=86)
    compared = 0
    for case in cases(shared):
        if case["error"] is None and case["payloads"] and not case["name"].startswith("evolve/"):
            values = [
                {"Data": one.data, "CPU": one.cpu, "Lost": one.lost, "Type": one.type}
                for one in payloads_of(case)
            ]
            stream = encoder.descriptions + b"".join(map(encoder.encode, values))
            assert stream.hex() == case["stream"], case["name"]
            compared += 1
    assert compared > 30


@given(st.lists(PAYLOADS, max_size=5), st.integers(1, 50))
def test_payloads_come_back(payloads: list[Payload], step: int) -> None:
    stream = OPENING + b"".join(map(encode, payloads))
    assert decoded(stream, step) == (payloads, bool(payloads))


@given(st.binary(min_size=1, max_size=300), st.integers(0, 65535))
def test_quick_way_to_a_sample_gives_the_same_bytes(data: bytes, cpu: int) -> None:
    before, behind = sample_around(len(data), cpu)
    assert before + data + behind == encode(Payload(data, cpu, 0, SAMPLE))


@given(st.sampled_from((b"", OPENING)), st.binary(max_size=200))
def test_any_bytes_are_an_error_or_payloads(opening: bytes, data: bytes) -> None:
    decoded(opening + data, 16)


def test_stream_of_something_else_is_told() -> None:
    with pytest.raises(PayloadError):
        PayloadDecoder().feed(b"\x03\x04\x00\x02")


def test_notice_of_loss_has_no_data() -> None:
    assert encode(Payload(b"", 5, 42, LOST)).hex() == "09ff80020a012a010400"
