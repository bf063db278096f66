"""HTTP in access logs: the request or response as flow.HTTP, its summary, what is withheld of it.

Rules: Hubble's L7 parser; header names are canonical already, as Go's net/http makes them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from palomar_proto.flow import flow_pb2
from palomar_proto.url import Url, parse_url

if TYPE_CHECKING:
    from palomar_server.decode.options import Redaction

REDACTED = "HUBBLE_REDACTED"
"""Stands for what is withheld."""

_REQUEST_ID, _TRACEPARENT = "X-Request-Id", "Traceparent"
_TRACE_ID = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?",
    re.DOTALL,
)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_VERSION_INVALID = "ff"
_FLAGS_MAX = 2
"""In version 0; OpenTelemetry for Go refuses what it does not know."""
_CODE_MASK = (1 << 32) - 1


def http_message(
    record: dict[str, Any], url: str, redaction: Redaction | None, *, request: bool
) -> flow_pb2.HTTP:
    """Describe a request or response.

    Args:
        record: the `HTTP` of a log record.
        url: as of `shown_url`.
        redaction: what is withheld.
        request: it is a request, whose code says nothing.
    """
    message = flow_pb2.HTTP(
        method=record.get("Method", ""), protocol=record.get("Protocol", ""), url=url
    )
    if not request:
        message.code = record.get("Code", 0) & _CODE_MASK
    for name, values in sorted(record.get("Headers", {}).items()):
        withheld = redaction is not None and _is_withheld(name, redaction)
        for value in values:
            message.headers.add(key=name, value=REDACTED if withheld else value)
    return message


def http_summary(record: dict[str, Any], url: str, flow_type: int, latency_ns: int) -> str:
    """Such as `HTTP/1.1 GET http://host/path`, or `HTTP/1.1 200 7ms (GET http://host/path)`.

    Args:
        record: the `HTTP` of a log record.
        url: as of `shown_url`.
        flow_type: flow.L7FlowType.
        latency_ns: from request to response; 0 if not known.
    """
    protocol, method = record.get("Protocol", ""), record.get("Method", "")
    if flow_type == flow_pb2.REQUEST:
        return f"{protocol} {method} {url}"
    if flow_type == flow_pb2.RESPONSE:
        latency_ms = latency_ns // 1_000_000
        return f"{protocol} {record.get('Code', 0)} {latency_ms}ms ({method} {url})"
    return ""


def shown_url(record: dict[str, Any], redaction: Redaction | None) -> str:
    """The URL without what is withheld: passwords unless users want to see them.

    Raises:
        UrlError: it is no URL.
    """
    text = record.get("URL")
    url = Url() if text is None else parse_url(text)
    hides_password = redaction is None or redaction.http_user_info
    return str(
        url.redacted(
            password=REDACTED if hides_password else None,
            query=redaction is not None and redaction.http_query,
        )
    )


def request_id(record: dict[str, Any]) -> str:
    """The id that a request and its response share; empty without."""
    return _header(record, _REQUEST_ID)


def trace_id(record: dict[str, Any]) -> str:
    """The trace that a request belongs to; empty without.

    Rule: W3C Trace Context, header `traceparent`, as strict as OpenTelemetry for Go.
    """
    found = _TRACE_ID.fullmatch(_header(record, _TRACEPARENT))
    if found is None or found["version"] == _VERSION_INVALID:
        return ""
    if found["trace"] == _NO_TRACE or found["span"] == _NO_SPAN:
        return ""
    # Later versions may say more, this one may not. A lone dash at the end says nothing.
    more = found["rest"] not in {None, "-"}
    if int(found["version"], 16) == 0 and (more or int(found["flags"], 16) > _FLAGS_MAX):
        return ""
    return found["trace"]


def _header(record: dict[str, Any], name: str) -> str:
    values = record.get("Headers", {}).get(name)
    return values[0] if values else ""


def _is_withheld(name: str, redaction: Redaction) -> bool:
    """Named headers are shown or withheld as named; others are shown if only such are withheld."""
    name = name.lower()
    if name in redaction.allow_headers:
        return False
    if name in redaction.deny_headers:
        return True
    return bool(redaction.allow_headers) or not redaction.deny_headers
