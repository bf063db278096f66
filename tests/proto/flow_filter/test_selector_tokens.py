"""Words and signs of label selectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.selector_tokens import tokens, with_sources


@pytest.mark.parametrize(
    ("selector", "written"),
    [
        ("app", "any.app"),
        ("k8s:app", "k8s.app"),
        ("k8s:a:b", "k8s.a:b"),
        ("!app", "!any.app"),
        (" ! app = x", " ! any.app = x"),
        ("a in (x,y),k8s:b", "any.a in (x,y),k8s.b"),
        ("version>1", "any.version>1"),
        ("a=1,", "any.a=1,"),
        ("a =),b:c", "any.a =),b:c"),
        (",a", "any.,any.a"),
        ("", ""),
        (" ", " any."),
    ],
)
def test_keys_get_their_source(selector: str, written: str) -> None:
    assert with_sources(selector) == written


@pytest.mark.parametrize(
    ("selector", "texts"),
    [
        ("a==b,c!=d", ["any.a", "==", "b", ",", "any.c", "!=", "d", ""]),
        ("a===b", ["any.a", "==", "=", "b", ""]),
        ("a notin(x)", ["any.a", "notin", "(", "x", ")", ""]),
        ("a\tin\r\n( x )", ["any.a", "in", "(", "x", ")", ""]),
        ("a=b\x00c", ["any.a", "=", "b", "c", ""]),
        ("a= \x00c", ["any.a", "=", ""]),
    ],
)
def test_words_and_signs_are_told_apart(selector: str, texts: list[str]) -> None:
    assert [token.text for token in tokens(selector)] == texts


def test_words_of_operators_are_known() -> None:
    assert [token.kind for token in tokens("in in (in)")] == [
        "identifier",
        "in",
        "(",
        "in",
        ")",
        "end",
    ]


@given(st.text())
def test_every_text_has_tokens_and_one_end(text: str) -> None:
    kinds = [token.kind for token in tokens(text)]
    assert kinds.count("end") == 1
    assert kinds[-1] == "end"
