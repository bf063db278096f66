"""Go's white space."""

from __future__ import annotations

from palomar_proto.flow_filter.spaces import GO_SPACES


def test_spaces_are_those_of_unicode_without_the_separators_of_ascii() -> None:
    python = {chr(code) for code in range(0x110000) if chr(code).isspace()}
    assert python - set(GO_SPACES) == set("\x1c\x1d\x1e\x1f")
    assert set(GO_SPACES) <= python
