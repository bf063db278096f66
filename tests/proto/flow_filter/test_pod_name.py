"""Patterns of pods and services."""

from __future__ import annotations

import pytest

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.pod_name import NamePrefix, parse_name_prefixes


@pytest.mark.parametrize(
    ("value", "namespace", "prefix"),
    [
        ("cart", "default", "cart"),
        ("shop/", "shop", ""),
        ("shop/cart", "shop", "cart"),
        ("shop/cart/x", "shop", "cart"),
        ("/cart", "", "cart"),
        ("/", "", ""),
        ("//", "", ""),
        (" ", "default", " "),
    ],
)
def test_value_is_a_namespace_and_a_prefix(value: str, namespace: str, prefix: str) -> None:
    assert parse_name_prefixes("source_pod", [value]) == (NamePrefix(namespace, prefix),)


def test_empty_value_is_refused() -> None:
    with pytest.raises(FilterError, match="source_service: '' is empty"):
        parse_name_prefixes("source_service", ["shop/", ""])


def test_namespace_is_exact_and_name_begins_so() -> None:
    pattern = NamePrefix("shop", "cart")
    assert pattern.matches("shop", "cart-0")
    assert not pattern.matches("shop2", "cart-0")
    assert not pattern.matches("shop", "my-cart")


def test_what_has_neither_namespace_nor_name_never_matches() -> None:
    assert NamePrefix("", "").matches("", "x")
    assert NamePrefix("", "").matches("x", "")
    assert not NamePrefix("", "").matches("", "")
