import json
import math
from collections.abc import Callable
from typing import cast

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, StringValue
from hypothesis import given
from hypothesis import strategies as st

from palomar.printers import protojson
from palomar.printers.protojson import to_json
from palomar_proto.flow.flow_pb2 import DROPPED, Endpoint, Flow, FlowFilter, Verdict
from palomar_proto.observer.observer_pb2 import (
    GetFlowsRequest,
    GetFlowsResponse,
    ServerStatusResponse,
)

NEW_VERDICT = cast("Verdict.ValueType", 99)  # of a server newer than we


def same(message: Message) -> bool:
    expected = MessageToDict(message, preserving_proto_field_name=True)
    return bool(json.loads(to_json(message)) == expected)


@given(
    st.builds(
        Flow,
        uuid=st.text(st.characters(exclude_categories=["Cs"])),
        verdict=st.integers(0, 7),
        socket_cookie=st.integers(0, 2**64 - 1),
        source_names=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
        is_reply=st.one_of(st.none(), st.builds(BoolValue, value=st.booleans())),
        source=st.builds(Endpoint, identity=st.integers(0, 2**32 - 1), pod_name=st.just("x")),
    )
)
def test_text_is_what_the_library_makes(flow: Flow) -> None:
    assert same(flow)


def test_recorded_flows_are_what_the_library_makes(
    recorded: Callable[[str], list[GetFlowsResponse]],
) -> None:
    for name in ("flows.jsonl", "special.jsonl"):
        for message in recorded(name):
            assert same(message)


def test_open_enumerations_are_numbers() -> None:
    assert to_json(Flow(verdict=NEW_VERDICT)) == '{"verdict":99}'
    assert to_json(FlowFilter(verdict=[DROPPED, NEW_VERDICT])) == '{"verdict":["DROPPED",99]}'


def test_text_is_ascii_without_controls() -> None:
    text = to_json(Flow(uuid="\x1b[2J\x9b\u2028é"))
    assert text == '{"uuid":"\\u001b[2J\\u009b\\u2028\\u00e9"}'


@pytest.mark.parametrize("rate", [0.5, 12.3456, 1e12, 1e300, -1.0, math.inf, -math.inf])
def test_floating_numbers(rate: float) -> None:
    assert same(ServerStatusResponse(flows_rate=rate))


def test_not_a_number_has_a_name() -> None:
    assert to_json(ServerStatusResponse(flows_rate=math.nan)) == '{"flows_rate":"NaN"}'


def test_rare_types_are_left_to_the_library() -> None:
    assert same(GetFlowsRequest(field_mask=FieldMask(paths=["uuid"])))
    known = Any()
    known.Pack(StringValue(value="x"))
    assert same(Flow(extensions=known))


def test_extension_of_unknown_type_keeps_its_bytes() -> None:
    flow = Flow(extensions=Any(type_url="x.org/never.Heard", value=b"\x01"))
    shown = json.loads(to_json(flow))
    assert shown == {"extensions": {"@type": "x.org/never.Heard", "value": "AQ=="}}


def test_memory_of_repeating_parts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protojson, "_REMEMBERED_MAX", 4)
    monkeypatch.setattr(protojson, "_encoders", {})
    for identity in [*range(20), *range(20)]:
        flow = Flow(source=Endpoint(identity=identity, pod_name="x"))
        assert same(flow)
