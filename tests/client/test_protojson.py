import json
import math
from base64 import b64encode
from collections import ChainMap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BoolValue, StringValue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palomar import protojson, protojson_message
from palomar.protojson import to_dict, to_json
from palomar_proto.flow.flow_pb2 import DROPPED, Endpoint, Flow, FlowFilter, Verdict
from palomar_proto.observer.observer_pb2 import (
    GetFlowsRequest,
    GetFlowsResponse,
    ServerStatusResponse,
)
from palomar_proto.palomar.v1.summary_pb2 import SummarizeResponse

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


def test_extension_that_has_no_json_keeps_its_bytes() -> None:
    for inner in (Flow(time=Timestamp(seconds=2**62)), Timestamp(seconds=2**62)):
        extension = Any()
        extension.Pack(inner)
        shown = to_dict(Flow(extensions=extension))["extensions"]
        assert shown == {
            "@type": extension.type_url,
            "value": b64encode(extension.value).decode(),
        }


@pytest.fixture
def _made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protojson, "_encoders", {})
    monkeypatch.setattr(protojson, "_unfinished", {})


@pytest.mark.usefixtures("_made_anew")
def test_memory_of_repeating_parts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protojson_message, "_REMEMBERED_MAX", 4)
    for identity in [*range(20), *range(20)]:
        flow = Flow(
            source=Endpoint(identity=identity, pod_name="x"),
            destination=Endpoint(identity=7),
            node_name=f"n{identity}",
        )
        assert same(flow)


def test_masks_are_in_camel_case_where_that_can_be_undone() -> None:
    mask = FieldMask(paths=["uuid", "source.pod_name", "IP"])
    assert to_json(mask) == '"uuid,source.podName,IP"'


def test_dict_is_what_the_text_says() -> None:
    flow = Flow(verdict=DROPPED, socket_cookie=2**60, source=Endpoint(pod_name="\u2028"))
    assert to_dict(flow) == MessageToDict(flow, preserving_proto_field_name=True)


def test_times_out_of_range_do_not_end_a_stream() -> None:
    assert to_json(Flow(time=Timestamp(nanos=-1))) == '{"time":"N/A"}'
    assert to_json(Duration(seconds=10**12)) == '"N/A"'


def test_plain_value_is_no_dict() -> None:
    with pytest.raises(TypeError, match="use to_json"):
        to_dict(Timestamp(seconds=1))


def test_fields_of_a_newer_server_are_left_out() -> None:
    newer = Flow(uuid="u", node_labels=["a"]).SerializeToString()
    for unknown in (
        b"\xfa\x3f\x01x\xfa\x3f\x01y",  # field 1023, twice
        b"\xf8\x3f\x05",  # a number
        b"\xfd\x3f\x01\x02\x03\x04",  # four bytes
        b"\xfb\x3f\x08\x01\x12\x01z\x0b\x0c\x15\0\0\0\0\xfc\x3f",  # a group, one within
    ):
        flow = Flow.FromString(newer + unknown)
        assert to_json(flow) == '{"uuid":"u","node_labels":["a"]}'


def test_span_that_holds_the_mark_of_its_end_is_whole() -> None:
    # In UTF-8 the name holds the two bytes of the tag of uuid.
    flow = Flow(destination=Endpoint(identity=1), node_name="\x92\x02$", uuid="u" * 36)
    assert all(same(flow) for _ in range(3))


@pytest.mark.usefixtures("_made_anew")
def test_threads_share_encoders() -> None:
    flows = [
        Flow(time=Timestamp(seconds=second, nanos=1), source=Endpoint(identity=second))
        for second in range(200)
    ]
    expected = [MessageToDict(flow, preserving_proto_field_name=True) for flow in flows]
    with ThreadPoolExecutor(8) as threads:
        for shown in threads.map(lambda _: [*map(to_dict, flows)], range(8)):
            assert shown == expected


def values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[object]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return messages(cast("Descriptor", field.message_type), depth - 1)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return st.integers(0, 300)
    return SCALARS[field.cpp_type]


def messages(descriptor: Descriptor, depth: int) -> st.SearchStrategy[Message]:
    """Make messages of a type with any of its fields."""
    kind = GetMessageClass(descriptor)
    if descriptor.full_name == "google.protobuf.Timestamp":
        return st.builds(kind, seconds=st.integers(0, 2**33), nanos=st.integers(0, 999_999_999))
    if descriptor.full_name == "google.protobuf.Duration":
        return st.builds(kind, seconds=st.integers(0, 2**33), nanos=st.integers(0, 999_999_999))
    if depth <= 0 or descriptor.full_name == "google.protobuf.Any":
        return st.just(kind())
    parts = {
        field.name: st.lists(values(field, depth), max_size=3)
        if field.is_repeated
        else values(field, depth)
        for field in descriptor.fields
        if field.containing_oneof is None
    }
    choices = [
        st.one_of(
            st.just({}),
            *(st.fixed_dictionaries({one.name: values(one, depth)}) for one in oneof.fields),
        )
        for oneof in descriptor.oneofs
    ]
    chosen = st.tuples(st.fixed_dictionaries({}, optional=parts), *choices)
    return st.builds(lambda given: kind(**dict(ChainMap(*given))), chosen)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
SCALARS: dict[int, st.SearchStrategy[object]] = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(allow_nan=False, width=32),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_STRING: TEXTS,
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
@pytest.mark.parametrize("kind", [Flow, FlowFilter, GetFlowsResponse, SummarizeResponse])
def test_messages_of_any_content_are_what_the_library_makes(
    kind: type[Message], data: st.DataObject
) -> None:
    message = data.draw(messages(cast("Descriptor", kind.DESCRIPTOR), 3))
    assert same(message)
    assert same(message)  # from memory
