"""HTTP fields of filters."""

from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.event_type import EventTypePattern
from palomar_proto.flow_filter.http import (
    check_event_types,
    folded,
    parse_headers,
    parse_methods,
    parse_status_codes,
    path_of,
)


@pytest.mark.parametrize(
    ("value", "code", "matches"),
    [
        ("404", 404, True),
        ("404", 40, False),
        ("4+", 404, True),
        ("40+", 404, True),
        ("40+", 414, False),
        ("5+", 50, False),
        ("1+", 1_000, True),
        ("100", 0, False),
        ("1+", 0, False),
    ],
)
def test_status_is_a_code_or_its_beginning(value: str, code: int, *, matches: bool) -> None:
    assert parse_status_codes("http_status_code", [value]).matches(code) is matches


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "+",
            "0",
            "0+",
            "000",
            "99",
            "600",
            "6+",
            "2000",
            "2xx",
            "20",
            "200+",
            " 200",
            "200\n",
        ),
        "٢٠٠",
    ],
)
def test_other_statuses_are_refused(value: str) -> None:
    with pytest.raises(FilterError, match="http_status_code"):
        parse_status_codes("http_status_code", ["200", value])


def test_methods_are_without_case() -> None:
    assert parse_methods("http_method", ["get", "Post", "STRASSE"]) == {"get", "post", "strasse"}
    assert folded("GET") == "get"
    # A character stands for one character, as in Go: the sharp s is no two.
    assert folded("Straße") == "straße"
    assert folded("\u017f") == "s"


def test_headers_are_exact() -> None:
    given = [flow_pb2.HTTPHeader(key="Host", value="a"), flow_pb2.HTTPHeader(key="Empty")]
    assert parse_headers("http_header", given) == {("Host", "a"), ("Empty", "")}


def test_event_types_have_to_let_access_logs_pass_by_name() -> None:
    for types in ([], [EventTypePattern(1, None), EventTypePattern(129, 5)]):
        check_event_types("http_url", ["x"], types)
    with pytest.raises(FilterError, match="needs 129 in event_type"):
        check_event_types("http_url", ["x"], [EventTypePattern(0, None)])


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://cart.shop/a%20b?q=/c#/d", "/a b"),
        ("/items#x", "/items#x"),
        ("relative", None),
        ("", None),
        ("http://cart.shop", ""),
        ("mailto:x/y", ""),
        ("*", "*"),
        ("//host/path", "//host/path"),
        ("http://[::1", None),
        ("/%zz", None),
        ("/%ff", "\ufffd"),
        ("/\x7f", None),
    ],
)
def test_path_is_that_of_a_request(url: str, path: str | None) -> None:
    shown = path_of(url)
    assert shown == (f"/{path}" if path == "\ufffd" else path)
