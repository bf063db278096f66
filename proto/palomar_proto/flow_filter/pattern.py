"""Regular expressions of requests: Go's syntax, which is RE2's, linear in time and bounded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from palomar_proto.flow_filter.error import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable

PATTERN_BYTES_MAX = 4_096
"""A longer expression is refused: nobody types one, and compiling takes time by its length."""
PATTERNS_MAX = 32
"""Expressions of one field; each is looked for, and has memory of its own."""
_MEMORY_MAX = 256 << 10
"""Bytes that RE2 may use for one expression; one that needs more to begin with is refused.
Compiling takes up to 10 ms then; with room for fifty classes of all letters it would be 100."""

# What RE2 takes and Go does not: \\C, a byte of a character, and names of groups that come twice or
# are no ASCII words.
_QUOTED = re.compile(r"\\Q.*?(?:\\E|\Z)", re.DOTALL)
_ESCAPE_OR_GROUP = re.compile(r"\\.|\(\?P?<([^>=!][^>]*)>", re.DOTALL)
_GROUP_NAME = re.compile(r"[A-Za-z0-9_]+")


class Expression(Protocol):
    """A compiled expression."""

    def search(self, text: str) -> object:
        """Something that is true if the expression is found in `text`."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """Expressions, as alternatives, looked for anywhere in a text."""

    sources: tuple[str, ...]
    """As they were written, all of them valid, each once."""
    _compiled: tuple[Expression, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", tuple(map(compile_expression, self.sources)))

    def matches(self, text: str) -> bool:
        """Whether one of them is found in the text."""
        return any(expression.search(text) for expression in self._compiled)


def parse_patterns(field: str, values: Iterable[str]) -> Patterns:
    """The expressions of a field.

    Raises:
        FilterError: a value is no expression, is too long or too costly, or there are too many.
    """
    sources = tuple(dict.fromkeys(values))
    if len(sources) > PATTERNS_MAX:
        raise FilterError(field, len(sources), f"expressions are over {PATTERNS_MAX}")
    for source in sources:
        _check(field, source)
    return Patterns(sources)


def _check(field: str, source: str) -> None:
    if len(source.encode(errors="surrogatepass")) > PATTERN_BYTES_MAX:
        raise FilterError(field, source, f"is over {PATTERN_BYTES_MAX} bytes long")
    try:
        compile_expression(source)
    except ValueError as error:
        raise FilterError(field, source, f"is no regular expression: {error}") from None


def _check_as_go(source: str) -> None:
    names: set[str] = set()
    for found in _ESCAPE_OR_GROUP.finditer(_QUOTED.sub("", source)):
        name = found[1]
        if found[0] == r"\C" or (name and (name in names or not _GROUP_NAME.fullmatch(name))):
            raise ValueError(f"it has {found[0]}")
        names.add(name)


def compile_expression(source: str, memory_max: int = _MEMORY_MAX) -> Expression:
    """Compile an expression.

    Args:
        source: the expression.
        memory_max: bytes that it may use.

    Raises:
        ValueError: it is none, or needs more memory; says which.
    """
    import re2  # noqa: PLC0415 - only for those who filter by expressions

    _check_as_go(source)
    options = re2.Options()
    options.max_mem = memory_max
    options.log_errors = False
    try:
        expression: Expression = re2.compile(source, options)
    except re2.error as error:
        (reason,) = error.args
        raise ValueError(reason.decode(errors="replace")) from None
    return expression
