"""Labels and the keys of selectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.label import Label, LabelKey, parse_label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("k8s:app=cart", Label("k8s", "app", "cart")),
        ("k8s:app=a=b", Label("k8s", "app", "a=b")),
        ("reserved:world", Label("reserved", "world", "")),
        ("reserved:=world", Label("reserved", "world", "")),
        ("reserved.host", Label("reserved", "host", "")),
        ("$host", Label("reserved", "host", "")),
        ("gpu=true", Label("unspec", "gpu", "true")),
        ("k8s:=x", Label("k8s", "", "x")),
        (":x", Label("unspec", "x", "")),
        ("", Label("unspec", "", "")),
    ],
)
def test_label_is_source_key_and_value(text: str, label: Label) -> None:
    assert parse_label(text) == label


@pytest.mark.parametrize(
    ("key", "label", "has"),
    [
        ("any.app", "k8s:app=x", True),
        ("any.app", "app=x", True),
        ("unspec.app", "k8s:app=x", True),
        ("k8s.app", "k8s:app=x", True),
        ("k8s.app", "app=x", False),
        ("any.app.kubernetes.io/name", "k8s:app.kubernetes.io/name=x", True),
        ("cidr.203.0.113.0/24", "cidr:203.0.113.0/24", True),
        ("cidr.203.0.0.0/16", "cidr:203.0.113.0/24", True),
        ("cidr.203.0.113.0/25", "cidr:203.0.113.0/24", False),
        ("cidr.203.0.112.0/24", "cidr:203.0.113.0/24", False),
        ("any.203.0.0.0/16", "cidr:203.0.113.0/24", False),
        ("cidr.2001-db8--0/32", "cidr:2001-db8-0-1--0/64", True),
        ("cidr.x/24", "cidr:203.0.113.0/24", False),
    ],
)
def test_key_is_of_a_label(key: str, label: str, *, has: bool) -> None:
    assert LabelKey.of(key).is_of(parse_label(label)) is has


@given(st.text())
def test_every_text_is_a_label(text: str) -> None:
    assert parse_label(text).source
