import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from palomar.json_reader import JsonReader, UnreadableError
from palomar_proto.flow.flow_pb2 import Flow
from palomar_proto.observer.observer_pb2 import GetFlowsResponse, ServerStatusResponse

FLOW = {
    "flow": {
        "time": "2024-03-05T10:20:30.123456789Z",
        "uuid": "u1",
        "verdict": "DROPPED",
        "drop_reason_desc": "POLICY_DENIED",
        "IP": {"source": "10.0.0.1", "destination": "10.0.0.2", "ipVersion": "IPv4"},
        "l4": {"TCP": {"source_port": 4000, "destination_port": 80, "flags": {"SYN": True}}},
        "source": {"ID": 7, "identity": 20001, "labels": ["k8s:app=web"], "pod_name": "web"},
        "is_reply": False,
        "trace_context": {"parent": {"trace_id": "t"}},
        "Summary": "TCP Flags: SYN",
    },
    "node_name": "default/node-1",
    "time": "2024-03-05T10:20:30Z",
}


def by_reflection(text: bytes, *, discards: bool = False) -> GetFlowsResponse | None:
    if not text.lstrip().startswith(b"{"):
        return None  # protobuf takes [] for an empty message
    try:
        return json_format.Parse(text, GetFlowsResponse(), ignore_unknown_fields=discards)
    except (json_format.Error, ValueError, TypeError, RecursionError):
        return None


def read(text: bytes, *, discards: bool = False) -> GetFlowsResponse | None:
    reader = JsonReader(GetFlowsResponse)
    if discards:
        reader.discard_unknown()
    try:
        return reader.read(text)
    except UnreadableError:
        return None


def places(value: object) -> list[tuple[str | int, ...]]:
    """The way to every value within a JSON value."""
    found: list[tuple[str | int, ...]] = [()]
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        found.extend((key, *rest) for rest in places(child))
    return found


def put(value: Any, place: tuple[str | int, ...], new: object) -> Any:
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = put(value[place[0]], place[1:], new)
    return copy


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "-1", "18446744073709551616", "DROPPED", "2024-02-30T00:00:00Z", "NaN",
                       "2024-03-05T10:20:30+01:00", "0001-01-01T00:00:00Z", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)  # fmt: skip
ALL_PLACES = places(FLOW)


@given(st.sampled_from(ALL_PLACES), VALUES)
def test_a_value_anywhere_is_read_as_protobuf_reads_it(
    place: tuple[str | int, ...], value: object
) -> None:
    text = json.dumps(put(FLOW, place, value)).encode()
    assert read(text) == by_reflection(text)
    assert read(text, discards=True) == by_reflection(text, discards=True)


@given(st.sampled_from([place for place in ALL_PLACES if place]), st.text(max_size=6), VALUES)
def test_a_field_more_is_read_as_protobuf_reads_it(
    place: tuple[str | int, ...], name: str, value: object
) -> None:
    text = json.dumps(put(FLOW, place, {name: value})).encode()
    assert read(text) == by_reflection(text)
    assert read(text, discards=True) == by_reflection(text, discards=True)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(b"{".__add__))
def test_any_bytes_are_read_as_protobuf_reads_them(text: bytes) -> None:
    assert read(text) == by_reflection(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"time":"2024-03-05T10:20:30Z","time":"2024-03-05T10:20:31Z"}',
        b'{"node_name":"a","nodeName":"b"}',
        b'{"flow":{},"lost_events":{}}',
        b'{"flow":null,"lost_events":{}}',
        b'{"flow":{"l4":{"TCP":{},"UDP":{}}}}',
        b'{"flow":{"source":{"labels":[null]}}}',
        b'{"flow":{"source":{"labels":null}}}',
        b'{"flow":{"verdict":2,"source":{"ID":"12","identity":34.0}}}',
        b'{"flow":{"is_reply":null,"IP":{"encrypted":1}}}',
        b'{"nodeName":"camel","flow":{"isReply":true,"l4":{"TCP":{"sourcePort":1}}}}',
        b"[" * 100_000,
        b'{"flow":' * 5_000,
    ],
)
def test_odd_texts_are_read_as_protobuf_reads_them(text: bytes) -> None:
    assert read(text) == by_reflection(text)


def test_recorded_responses_are_read_as_protobuf_reads_them(shared: Path) -> None:
    folder = shared / "conformance" / "cli"
    for name in ("flows.jsonl", "special.jsonl", "mixed.jsonl"):
        for line in (folder / name).read_bytes().splitlines():
            assert read(line) == by_reflection(line), line


def test_an_ordinary_flow_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError(arguments)

    text = json.dumps(FLOW).encode()
    expected = by_reflection(text)
    monkeypatch.setattr(json_format, "Parse", refuse)
    assert read(text) == expected


def test_an_any_goes_the_slow_way() -> None:
    packed = AnyMessage()
    packed.Pack(Struct())
    flow = Flow(uuid="u", extensions=packed)
    assert JsonReader(Flow).read(json_format.MessageToJson(flow).encode()) == flow


def test_wide_numbers_are_texts_or_numbers() -> None:
    reader = JsonReader(ServerStatusResponse)
    for text in (b'{"seen_flows":"18446744073709551615"}', b'{"seen_flows":18446744073709551615}'):
        assert reader.read(text).seen_flows == 2**64 - 1
    with pytest.raises(UnreadableError):
        reader.read(b'{"seen_flows":"18446744073709551616"}')


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"not json", "is no JSON object"),
        (b"", "is no JSON object"),
        (b'{"flow":{"new_field":1}}', "has an unknown field 'new_field'"),
        (b'{"flow":{"verdict":"NOPE"}}', "is not valid: .*NOPE.*"),
        (b'{"flow":', "is not valid: .*"),
        (b'{"node_name":"\xff"}', "is not valid: .*"),
    ],
)
def test_a_refusal_says_why_in_one_short_line(text: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=f"^{reason}$"):
        JsonReader(GetFlowsResponse).read(text)


@given(st.text())
def test_a_reason_is_one_short_line(text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        JsonReader(GetFlowsResponse).read(
            json.dumps({"flow": {text or " ": 1, "x": text}}).encode()
        )
    assert str(caught.value).isprintable()


def test_unknown_fields_and_values_can_be_left_out() -> None:
    text = b'{"flow":{"uuid":"u","new":1,"verdict":"NEW"},"brand_new":{}}'
    assert read(text) is None
    assert read(text, discards=True) == GetFlowsResponse(flow=Flow(uuid="u"))
