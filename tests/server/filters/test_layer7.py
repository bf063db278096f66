from __future__ import annotations

from typing import Any

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import refusal, selected

HTTP = flow_pb2.Flow()
HTTP.l7.http.method, HTTP.l7.http.url, HTTP.l7.http.code = "GET", "http://a/cart?x=1", 404
HTTP.l7.http.headers.add(key="Host", value="a")
HTTP.trace_context.parent.trace_id = "t1"
DNS = flow_pb2.Flow()
DNS.l7.dns.query = "www.example.com."
MESSAGES = [HTTP.SerializeToString(), DNS.SerializeToString()]
ROWS = flow_rows(3, message=[1, 0, 2])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"http_status_code": ["4+"]}, [0]),
        ({"http_method": ["get"]}, [0]),
        ({"http_path": ["^/cart$"]}, [0]),
        ({"http_url": ["x=1"]}, [0]),
        ({"http_header": [flow_pb2.HTTPHeader(key="Host", value="a")]}, [0]),
        ({"dns_query": ["example"]}, [2]),
        ({"trace_id": ["t1"]}, [0]),
        ({"trace_id": [""]}, [1, 2]),
        ({"http_method": ["POST"]}, []),
    ],
)
def test_messages_decide_and_rows_without_one_are_as_good_as_empty(
    fields: dict[str, Any], expected: list[int]
) -> None:
    assert selected(ROWS, messages=MESSAGES, **fields) == expected


def test_what_is_no_regular_expression_is_refused() -> None:
    assert refusal(http_path=["("]).startswith("whitelist[0].http_path: '(' is no regular")
