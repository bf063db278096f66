from __future__ import annotations

from typing import Any

import pytest

from palomar_proto.flow.flow_pb2 import REQUEST, RESPONSE, SAMPLE
from palomar_proto.url import UrlError
from palomar_server.decode.http import (
    http_message,
    http_summary,
    request_id,
    shown_url,
    trace_id,
)
from palomar_server.decode.options import Redaction

RECORD: dict[str, Any] = {
    "Code": 404,
    "Method": "GET",
    "URL": b"http://u:p@h/a?b#c",
    "Protocol": "HTTP/1.1",
    "Headers": {"X-Id": ["2"], "Host": ["h", "i"], "Authorization": ["secret"]},
}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def shown(redaction: Redaction | None) -> list[str]:
    message = http_message(RECORD, "", redaction, request=True)
    return [header.value for header in message.headers]


def test_headers_are_sorted_by_name() -> None:
    message = http_message(RECORD, "/", None, request=False)
    headers = [(header.key, header.value) for header in message.headers]
    expected = [("Authorization", "secret"), ("Host", "h"), ("Host", "i"), ("X-Id", "2")]
    assert headers == expected
    assert (message.code, message.method, message.url) == (404, "GET", "/")


def test_requests_have_no_code() -> None:
    assert http_message(RECORD, "", None, request=True).code == 0


HIDDEN = "HUBBLE_REDACTED"


@pytest.mark.parametrize(
    ("redaction", "values"),
    [
        (Redaction(), [HIDDEN] * 4),
        (Redaction(allow_headers=frozenset({"host"})), [HIDDEN, "h", "i", HIDDEN]),
        (Redaction(deny_headers=frozenset({"host"})), ["secret", HIDDEN, HIDDEN, "2"]),
        (
            Redaction(allow_headers=frozenset({"host"}), deny_headers=frozenset({"host", "x-id"})),
            [HIDDEN, "h", "i", HIDDEN],
        ),
    ],
)
def test_headers_can_be_withheld(redaction: Redaction, values: list[str]) -> None:
    assert shown(redaction) == values


@pytest.mark.parametrize(
    ("redaction", "url"),
    [
        (None, "http://u:HUBBLE_REDACTED@h/a?b#c"),
        (Redaction(http_user_info=False), "http://u:p@h/a?b#c"),
        (Redaction(http_query=True), "http://u:HUBBLE_REDACTED@h/a"),
    ],
)
def test_urls_can_be_withheld_in_part(redaction: Redaction | None, url: str) -> None:
    assert shown_url(RECORD, redaction) == url


def test_url_may_be_missing_but_not_wrong() -> None:
    assert shown_url({}, None) == ""
    with pytest.raises(UrlError):
        shown_url({"URL": b"\x00"}, None)


def test_summaries() -> None:
    assert http_summary(RECORD, "/a", REQUEST, 0) == "HTTP/1.1 GET /a"
    assert http_summary(RECORD, "/a", RESPONSE, 1_999_999_999) == "HTTP/1.1 404 1999ms (GET /a)"
    assert http_summary(RECORD, "/a", SAMPLE, 0) == ""


def test_request_ids_are_the_first_of_the_canonical_header() -> None:
    assert request_id({"Headers": {"X-Request-Id": ["a", "b"]}}) == "a"
    assert request_id({"Headers": {"X-Request-Id": []}}) == ""
    assert request_id({"Headers": {"x-request-id": ["a"]}}) == ""


@pytest.mark.parametrize(
    ("text", "is_trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"00-{TRACE}-{SPAN}-01-", True),
        (f"01-{TRACE}-{SPAN}-ff-more", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"00-{TRACE}-{SPAN}-03", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}-01\n", False),
        ("", False),
        ("garbage", False),
    ],
)
def test_traces_are_those_that_opentelemetry_takes(text: str, *, is_trace: bool) -> None:
    assert trace_id({"Headers": {"Traceparent": [text]}}) == (TRACE if is_trace else "")
