"""Predicates of the fields about application protocols: HTTP and DNS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow_filter.dns_query import parse_dns_queries
from palomar_proto.flow_filter.event import on_flows
from palomar_proto.flow_filter.event_type import parse_event_types
from palomar_proto.flow_filter.http import (
    check_event_types,
    folded,
    parse_headers,
    parse_methods,
    parse_status_codes,
    path_of,
)
from palomar_proto.flow_filter.pattern import parse_patterns

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_proto.flow import flow_pb2
    from palomar_proto.flow_filter.event import FieldMatcher


def dns_query(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The name that a DNS record asks for."""
    wanted = parse_dns_queries("dns_query", flow_filter.dns_query)
    return on_flows(
        wanted,
        lambda flow: flow.l7.WhichOneof("record") == "dns" and wanted.matches(flow.l7.dns.query),
    )


def http_status_code(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The status of a response."""
    _check_types(flow_filter, "http_status_code")
    wanted = parse_status_codes("http_status_code", flow_filter.http_status_code)
    return _on_http(wanted, lambda http: wanted.matches(http.code))


def http_method(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The method, in any case of letters; a record without one matches nothing."""
    _check_types(flow_filter, "http_method")
    wanted = parse_methods("http_method", flow_filter.http_method)
    return _on_http(wanted, lambda http: bool(http.method) and folded(http.method) in wanted)


def http_path(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The decoded path of the URL; a URL that is none matches nothing."""
    _check_types(flow_filter, "http_path")
    wanted = parse_patterns("http_path", flow_filter.http_path)

    def matches(http: flow_pb2.HTTP) -> bool:
        path = path_of(http.url)
        return path is not None and wanted.matches(path)

    return _on_http(wanted, matches)


def http_url(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The URL as it was recorded; a record without one matches nothing."""
    _check_types(flow_filter, "http_url")
    wanted = parse_patterns("http_url", flow_filter.http_url)
    return _on_http(wanted, lambda http: bool(http.url) and wanted.matches(http.url))


def http_header(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the headers is there, with that very key and value."""
    _check_types(flow_filter, "http_header")
    wanted = parse_headers("http_header", flow_filter.http_header)
    return _on_http(
        wanted, lambda http: any((one.key, one.value) in wanted for one in http.headers)
    )


def _check_types(flow_filter: flow_pb2.FlowFilter, field: str) -> None:
    types = parse_event_types("event_type", flow_filter.event_type)
    check_event_types(field, list(getattr(flow_filter, field)), types)


def _on_http(wanted: object, matches: Callable[[flow_pb2.HTTP], bool]) -> FieldMatcher:
    return on_flows(
        wanted, lambda flow: flow.l7.WhichOneof("record") == "http" and matches(flow.l7.http)
    )
