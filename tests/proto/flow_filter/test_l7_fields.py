"""Fields about application protocols."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.matcher import compile_filter

HTTP = {
    "code": 503,
    "method": "GET",
    "url": "http://cart.shop/items/a%20b?id=3",
    "headers": [{"key": "Host", "value": "cart.shop"}, {"key": "Empty"}],
}


def matches(record: dict[str, Any], **fields: Any) -> bool:
    flow_filter = json_format.ParseDict(fields, flow_pb2.FlowFilter())
    flow = json_format.ParseDict({"l7": record}, flow_pb2.Flow())
    return compile_filter(flow_filter).matches(flow)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"http_status_code": ["5+"]}, True),
        ({"http_status_code": ["200", "50+"]}, True),
        ({"http_status_code": ["4+"]}, False),
        ({"http_method": ["get"]}, True),
        ({"http_method": ["GE"]}, False),
        ({"http_path": ["^/items/a b$"]}, True),
        ({"http_path": ["id=3"]}, False),
        ({"http_url": ["a%20b\\?id"]}, True),
        ({"http_header": [{"key": "Host", "value": "cart.shop"}]}, True),
        ({"http_header": [{"key": "host", "value": "cart.shop"}]}, False),
        ({"http_header": [{"key": "Host"}]}, False),
        ({"http_header": [{"key": "Empty"}]}, True),
        ({"http_url": ["."], "event_type": [{"type": 129}]}, False),
        ({"dns_query": [""]}, False),
    ],
)
def test_http_fields(fields: dict[str, Any], *, expected: bool) -> None:
    assert matches({"http": HTTP}, **fields) is expected


@pytest.mark.parametrize(
    "fields",
    [
        {"http_status_code": ["1+"]},
        {"http_method": [""]},
        {"http_path": [""]},
        {"http_url": [""]},
        {"http_header": [{}]},
    ],
)
def test_a_record_without_the_part_matches_nothing(fields: dict[str, Any]) -> None:
    assert not matches({"http": {}}, **fields)
    assert not matches({"dns": {}}, **fields)


def test_dns_fields() -> None:
    assert matches({"dns": {"query": "api.example.com."}}, dns_query=[r"\.com\.$"])
    assert matches({"dns": {}}, dns_query=[""])
    assert not matches({"http": HTTP}, dns_query=[""])


@pytest.mark.parametrize(
    "fields",
    [
        {"http_status_code": ["200"]},
        {"http_method": ["GET"]},
        {"http_path": ["/"]},
        {"http_url": ["/"]},
        {"http_header": [{"key": "a"}]},
    ],
)
def test_event_types_without_access_logs_are_refused_beside_http(fields: dict[str, Any]) -> None:
    for event_type in ({"type": 1}, {}):
        with pytest.raises(FilterError, match="needs 129 in event_type"):
            matches({"http": HTTP}, event_type=[event_type], **fields)
