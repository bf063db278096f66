"""Patterns of DNS names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.fqdn import parse_fqdns


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "api.example.com", True),
        ("*", "", True),
        ("*", "under_score", False),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", ".example.com", True),
        ("*.example.com", "example.com", False),
        ("api.example", "api.example.com", False),
        ("apixexample", "api.example", False),
        (" API.example.com. ", "api.example.com", True),
        ("api.example.com", "API.example.com", False),
        ("api.example.com", "api.example.com\n", False),
        ("under_*", "under_score", True),
        ("-", "-", True),
        ("a**b", "ab", True),
    ],
)
def test_pattern_matches_the_whole_name(pattern: str, name: str, *, matches: bool) -> None:
    assert parse_fqdns("source_fqdn", [pattern]).matches(name) is matches


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("", "empty"),
        (" ", "empty"),
        (".", "empty"),
        ("..", "more than one dot"),
        ("a.com..", "more than one dot"),
        ("a?b", "is in no name"),
        ("[a]", "is in no name"),
        ("a/b", "is in no name"),
        ("exämple.com", "is in no name"),
        ("a b", "is in no name"),
        ("a" * 2_000, "characters long"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str, rule: str) -> None:
    with pytest.raises(FilterError, match=rule):
        parse_fqdns("source_fqdn", ["ok", pattern])


def test_patterns_are_alternatives() -> None:
    wanted = parse_fqdns("source_fqdn", ["a.com", "b.com"])
    assert [wanted.matches(name) for name in ("a.com", "b.com", "a.comb.com")] == [
        True,
        True,
        False,
    ]


def test_many_stars_and_many_patterns_stay_cheap() -> None:
    stars = parse_fqdns("source_fqdn", ["*a" * 500])
    assert not stars.matches("a" * 499)
    assert stars.matches("a" * 500)
    many = parse_fqdns("source_fqdn", [f"{i}.a-rather-long-name.example.com" for i in range(1_000)])
    assert many.matches("999.a-rather-long-name.example.com")


def test_more_than_fits_is_refused() -> None:
    with pytest.raises(FilterError, match="too many patterns"):
        parse_fqdns("source_fqdn", [f"{i}{'a' * 1_000}" for i in range(1_000)])


@given(st.text("abc-.0_", min_size=1).filter(lambda text: not text.endswith(".")))
def test_a_name_matches_itself(name: str) -> None:
    assert parse_fqdns("source_fqdn", [name]).matches(name)
