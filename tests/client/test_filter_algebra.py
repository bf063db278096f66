from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from palomar.errors import InvalidRequest
from palomar.filter_algebra import conjunction
from palomar_proto.flow.flow_pb2 import FlowFilter


def both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any] | None:
    made = conjunction(ParseDict(one, FlowFilter()), ParseDict(other, FlowFilter()))
    return None if made is None else MessageToDict(made, preserving_proto_field_name=True)


def test_different_fields_stand_side_by_side() -> None:
    assert both({"source_pod": ["a/x"]}, {"verdict": ["DROPPED"], "protocol": ["tcp"]}) == {
        "source_pod": ["a/x"],
        "verdict": ["DROPPED"],
        "protocol": ["tcp"],
    }
    assert both({}, {"uuid": ["x"]}) == {"uuid": ["x"]}


@pytest.mark.parametrize(
    ("field", "one", "other", "expected"),
    [
        ("source_port", ["80", "443"], ["443", "53"], ["443"]),
        ("verdict", ["DROPPED"], ["FORWARDED"], None),
        ("protocol", ["tcp"], ["tcp"], ["tcp"]),
        ("source_pod", ["shop/"], ["/web"], ["shop/web"]),
        ("source_pod", ["shop/"], ["default/x"], None),
        ("source_pod", ["web-1"], ["default/web"], ["default/web-1"]),
        ("destination_service", ["/a", "/b"], ["/abc", "/c"], ["/abc"]),
        ("source_ip", ["10.0.0.0/8", "1.1.1.1"], ["10.1.0.0/16"], ["10.1.0.0/16"]),
        ("source_ip", ["10.0.0.0/8"], ["fd00::/8"], None),
        ("destination_ip", ["10.0.0.1"], ["10.0.0.0/24"], ["10.0.0.1"]),
        ("source_label", ["a=b"], ["c", "a=b"], ["a=b,c", "a=b"]),
        ("node_labels", [""], ["c"], ["c"]),
        ("http_method", ["get", "PUT"], ["GET"], ["get"]),
        ("source_port", ["080", "443"], ["80"], ["080"]),
    ],
)
def test_values_of_one_field(
    field: str, one: list[str], other: list[str], expected: list[str] | None
) -> None:
    made = both({field: one}, {field: other})
    assert made == (None if expected is None else {field: expected})


def test_tcp_flags_must_all_be_set() -> None:
    assert both({"tcp_flags": [{"SYN": True}]}, {"tcp_flags": [{"ACK": True}]}) == {
        "tcp_flags": [{"SYN": True, "ACK": True}]
    }


def test_subtypes_narrow_types() -> None:
    stack = {"type": 4, "match_sub_type": True, "sub_type": 3}
    assert both({"event_type": [{"type": 4}, {"type": 1}]}, {"event_type": [stack]}) == {
        "event_type": [stack]
    }
    other = {"type": 4, "match_sub_type": True, "sub_type": 4}
    assert both({"event_type": [other]}, {"event_type": [stack]}) is None


def test_expressions_are_joined_in_their_own_language() -> None:
    one, other = ({"experimental": {"cel_expression": [text]}} for text in ("a", "b || c"))
    assert both(one, other) == {"experimental": {"cel_expression": ["(a) && (b || c)"]}}
    assert both(one, one) == one


@pytest.mark.parametrize("field", ["protocol", "http_path", "source_fqdn", "node_name"])
def test_what_no_message_can_say_is_refused(field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        both({field: ["a"]}, {field: ["b"]})


def test_arguments_stay_as_they_were() -> None:
    one, other = FlowFilter(source_port=["1", "2"]), FlowFilter(source_port=["2"])
    conjunction(one, other)
    assert (list(one.source_port), list(other.source_port)) == (["1", "2"], ["2"])
