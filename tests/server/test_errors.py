from __future__ import annotations

from palomar_server.errors import InvalidRequest


def test_an_invalid_value_is_named_with_its_field_and_the_rule() -> None:
    error = InvalidRequest("source_port", "x", "is no port")
    assert str(error) == "source_port: 'x' is no port"


def test_a_long_value_is_shortened() -> None:
    assert len(str(InvalidRequest("source_port", "9" * 100_000, "is no port"))) < 100
