"""Regular expressions of requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.pattern import PATTERNS_MAX, parse_patterns


@pytest.mark.parametrize(
    ("source", "text", "matches"),
    [
        ("", "", True),
        ("b", "abc", True),
        ("^b", "abc", False),
        ("(?i)ABC", "abc", True),
        ("(?P<n>x)", "x", True),
        ("(?<n>x)", "x", True),
        (r"[[:alpha:]]+\.$", "a.", True),
        (r"\d", "٣", False),
        (r"a$", "a\n", False),
        (r"(?m)a$", "a\n", True),
        (".", "\n", False),
        ("é", "é", True),
        (r"\pL{3}", "éöü", True),
        (".{900}", "é" * 900, True),
        (r"\Q\C\E", r"\C", True),
        (r"\\C", r"\C", True),
        (r"\_\-\/", "_-/", True),
        (r"\z", "", True),
    ],
)
def test_expression_is_looked_for_anywhere(source: str, text: str, *, matches: bool) -> None:
    assert parse_patterns("http_url", [source]).matches(text) is matches


@pytest.mark.parametrize(
    "source",
    [
        *("[", "(", ")", "*", "a**", "a{2,1}", "a{1001}", "(a{100}){100}", "(?=x)", "(?<!x)"),
        *(r"\C", r"a\C+", r"[\C]", r"\8", r"\Z", r"\p{Nothing}", "(?x)a", "(?>a)", "\\"),
        *("(?P<é>x)", "(?<é>x)", "(?P<n>a)(?P<n>b)", "[[:nothing:]]", "a" * 5_000),
    ],
)
def test_what_go_takes_for_no_expression_is_refused(source: str) -> None:
    with pytest.raises(FilterError, match=r"^http_url: "):
        parse_patterns("http_url", ["ok", source])


def test_what_would_take_too_much_memory_is_refused() -> None:
    with pytest.raises(FilterError, match="too large"):
        parse_patterns("http_url", [r"\pL{50}"])


def test_too_many_expressions_are_refused() -> None:
    with pytest.raises(FilterError, match=f"are over {PATTERNS_MAX}"):
        parse_patterns("http_url", [f"a{number}" for number in range(PATTERNS_MAX + 1)])
    assert parse_patterns("http_url", ["a"] * (PATTERNS_MAX + 1)).sources == ("a",)


def test_expressions_are_alternatives() -> None:
    wanted = parse_patterns("http_url", ["^a", "^b"])
    assert [wanted.matches(text) for text in ("a", "b", "c")] == [True, True, False]


def test_equal_expressions_are_equal() -> None:
    assert parse_patterns("http_url", ["a"]) == parse_patterns("http_url", ["a"])


def test_an_expression_that_would_backtrack_takes_no_longer() -> None:
    assert not parse_patterns("http_url", ["(a|aa)+$"]).matches("a" * 10_000 + "b")


@given(st.text(alphabet=st.sampled_from(r"ab\QECpP{}()[]<>?*+|^$-:é1,"), max_size=20) | st.text())
def test_a_text_is_an_expression_or_refused(source: str) -> None:
    try:
        wanted = parse_patterns("http_url", [source])
    except FilterError:
        return
    assert wanted.matches("abé") in (True, False)
