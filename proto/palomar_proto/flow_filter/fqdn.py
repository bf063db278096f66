"""source_fqdn and destination_fqdn: patterns of DNS names.

`*` stands for any run of `-`, `.`, digits and lower-case letters: it crosses dots, but no
underscore. A pattern is trimmed, loses one trailing dot and is lower-cased; names are taken as they
are. It has to match a whole name.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.pattern import compile_expression
from palomar_proto.flow_filter.spaces import GO_SPACES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from palomar_proto.flow_filter.pattern import Expression

PATTERN_CHARACTERS_MAX = 1_024
"""Four times the longest DNS name."""
_WILDCARD = "[-.0-9a-z]*"
_PLAIN = frozenset(string.ascii_lowercase + string.digits + "-_")
_MEMORY_MAX = 8 << 20
"""Bytes for all patterns of a field together: room for a thousand long names."""


@dataclass(frozen=True, slots=True)
class NamePatterns:
    """Patterns of names, as alternatives."""

    expression: str
    """One regular expression for all of them, to match whole names by."""
    _compiled: Expression = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole = rf"\A(?:{self.expression})\z"
        object.__setattr__(self, "_compiled", compile_expression(whole, _MEMORY_MAX))

    def matches(self, name: str) -> bool:
        """Whether one of them is the whole name."""
        return self._compiled.search(name) is not None


def name_patterns(field: str, expressions: Iterable[str]) -> NamePatterns:
    """Patterns given as regular expressions, each of which is valid.

    Raises:
        FilterError: together they are too many.
    """
    try:
        return NamePatterns("|".join(expressions))
    except ValueError as error:
        raise FilterError(field, "…", f"are too many patterns: {error}") from None


def parse_fqdns(field: str, values: Iterable[str]) -> NamePatterns:
    """The patterns of a field.

    Raises:
        FilterError: a pattern is empty, has a character that names have not, or ends in two dots.
    """
    return name_patterns(field, [name_expression(field, value) for value in values])


def name_expression(field: str, value: str, part: str | None = None) -> str:
    """The regular expression of one pattern.

    Args:
        field: for the error.
        value: what was given, for the error.
        part: the part of it that is the pattern; None for all of it.

    Raises:
        FilterError: it is no pattern.
    """
    pattern = (value if part is None else part).strip(GO_SPACES).removesuffix(".").lower()
    if not pattern:
        raise FilterError(field, value, "has an empty pattern")
    if pattern.endswith("."):
        raise FilterError(field, value, "ends in more than one dot")
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise FilterError(field, value, f"is over {PATTERN_CHARACTERS_MAX} characters long")
    return "".join(_element(field, value, one) for one in pattern)


def _element(field: str, value: str, character: str) -> str:
    if character == "*":
        return _WILDCARD
    if character == ".":
        return r"\."
    if character in _PLAIN:
        return character
    raise FilterError(field, value, f"has {character!r}, which is in no name")
