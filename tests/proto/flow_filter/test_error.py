"""Errors about a value of a filter."""

from __future__ import annotations

from palomar_proto.flow_filter.error import FilterError


def test_text_has_field_value_and_rule() -> None:
    error = FilterError("source_port", "x", "is no port number")
    assert str(error) == "source_port: 'x' is no port number"
    assert (error.field, error.value, error.rule) == ("source_port", "x", "is no port number")
    assert isinstance(error, ValueError)


def test_text_of_a_long_value_is_short() -> None:
    assert len(str(FilterError("source_label", "x" * 100_000, "is too long"))) < 100
