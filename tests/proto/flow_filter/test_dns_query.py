"""Expressions for the names that DNS records ask for."""

from __future__ import annotations

import pytest

from palomar_proto.flow_filter.dns_query import parse_dns_queries
from palomar_proto.flow_filter.error import FilterError


def test_an_expression_is_looked_for_anywhere() -> None:
    wanted = parse_dns_queries("dns_query", [r"kube-dns\.", "^$"])
    assert wanted.matches("x.kube-dns.svc.")
    assert wanted.matches("")
    assert not wanted.matches("kube-dns")


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(FilterError, match="dns_query"):
        parse_dns_queries("dns_query", ["["])
