"""source_label, destination_label and node_labels: label selectors as Kubernetes writes them.

A selector is requirements with commas between them, all of which have to hold: `key`, `!key`,
`key=value` (or `==`), `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key>1`, `key<1`. A key may
name its source, `k8s:app`; without one a label of any source is meant. What `!=`, `notin` and `!`
say also holds where there are no labels at all, even for events that are no flows.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.label import LabelKey, parse_label
from palomar_proto.flow_filter.selector_tokens import END, IDENTIFIER, Token, tokens
from palomar_proto.flow_filter.whole_number import parse_int64

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from palomar_proto.flow_filter.label import Label

SELECTOR_CHARACTERS_MAX = 4_096
"""A longer selector is refused."""

_NAME_MAX = 63
_SUBDOMAIN_MAX = 253
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL}(\.{_DNS_LABEL})*")


class Operator(enum.Enum):
    """What a requirement asks of a label."""

    EXISTS = "exists"
    NOT_EXISTS = "!"
    IN = "in"
    """Also `=` and `==`."""
    NOT_IN = "notin"
    """Also `!=`."""
    GREATER = ">"
    LESS = "<"


_OPERATORS = {
    "=": Operator.IN,
    "==": Operator.IN,
    "in": Operator.IN,
    "!=": Operator.NOT_IN,
    "notin": Operator.NOT_IN,
    ">": Operator.GREATER,
    "<": Operator.LESS,
}
_SETS = ("in", "notin")
_COMPARISONS = (Operator.GREATER, Operator.LESS)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one label has to be like."""

    key: LabelKey
    operator: Operator
    values: frozenset[str]
    """Of GREATER and LESS the one number; of EXISTS and NOT_EXISTS none."""

    def holds(self, labels: Sequence[Label]) -> bool:
        """Whether it does for these labels. Of several with the key, the first counts."""
        found = next((label for label in labels if self.key.is_of(label)), None)
        if found is None:
            return self.operator in (Operator.NOT_EXISTS, Operator.NOT_IN)
        if self.operator in (Operator.IN, Operator.NOT_IN):
            return (found.value in self.values) is (self.operator is Operator.IN)
        if self.operator in _COMPARISONS:
            return self._compares(found.value)
        return self.operator is Operator.EXISTS

    def _compares(self, value: str) -> bool:
        number, bound = parse_int64(value), parse_int64(*self.values)
        if number is None or bound is None:
            return False
        return number > bound if self.operator is Operator.GREATER else number < bound


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Requirements, all of which have to hold; without any, every event matches."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Iterable[str]) -> bool:
        """Whether labels, as texts `source:key=value`, are selected."""
        parsed = [parse_label(label) for label in labels]
        return all(requirement.holds(parsed) for requirement in self.requirements)


def parse_label_selectors(field: str, values: Iterable[str]) -> tuple[LabelSelector, ...]:
    """The selectors of a field, as alternatives.

    Raises:
        FilterError: a value is no selector, or has a key or a value that no label can have.
    """
    return tuple(_parse(field, value) for value in values)


def _parse(field: str, value: str) -> LabelSelector:
    if len(value) > SELECTOR_CHARACTERS_MAX:
        raise FilterError(field, value, f"is over {SELECTOR_CHARACTERS_MAX} characters long")
    try:
        return LabelSelector(tuple(_Reader(tokens(value)).requirements()))
    except _SyntaxError as error:
        raise FilterError(field, value, f"is no label selector: {error}") from None


class _SyntaxError(Exception):
    """A selector is wrong; says how."""


class _Reader:
    """Reads requirements from the tokens of a selector. The last token is the end."""

    def __init__(self, given: Sequence[Token]) -> None:
        self._tokens = given
        self._next = 0

    def requirements(self) -> Iterable[Requirement]:
        if self._peek().kind == END:
            return
        while True:
            yield self._requirement()
            behind = self._take()
            if behind.kind == END:
                return
            if behind.kind != ",":
                raise _SyntaxError(f"found {behind.text!r} where a comma or the end should be")

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _requirement(self) -> Requirement:
        token = self._take()
        negated = token.kind == "!"
        if negated:
            token = self._take()
        key = _key(self._word(token, "a key"))
        if negated:
            return Requirement(key, Operator.NOT_EXISTS, frozenset())
        if self._peek().kind in (END, ","):
            return Requirement(key, Operator.EXISTS, frozenset())
        sign = self._take()
        operator = _OPERATORS.get(sign.kind)
        if operator is None:
            raise _SyntaxError(f"found {sign.text!r} where an operator should be")
        values = self._set() if sign.kind in _SETS else {self._value()}
        for value in values:
            _check_value(value)
            if operator in _COMPARISONS and parse_int64(value) is None:
                raise _SyntaxError(f"{value!r} is no whole number to compare with")
        return Requirement(key, operator, frozenset(values))

    def _value(self) -> str:
        if self._peek().kind in (END, ","):
            return ""
        return self._word(self._take(), "a value")

    def _set(self) -> set[str]:
        """What is in parentheses; where there is nothing between two signs, the empty value."""
        token = self._take()
        if token.kind != "(":
            raise _SyntaxError(f"found {token.text!r} where ( should be")
        values: set[str] = set()
        while True:
            if self._peek().kind in (",", ")"):
                values.add("")
            else:
                values.add(self._word(self._take(), "a value"))
            token = self._take()
            if token.kind == ")":
                return values
            if token.kind != ",":
                raise _SyntaxError(f"found {token.text!r} where a comma or ) should be")

    @staticmethod
    def _word(token: Token, what: str) -> str:
        # The words of operators may be values, too.
        if token.kind != IDENTIFIER and token.kind not in _SETS:
            raise _SyntaxError(f"found {token.text!r} where {what} should be")
        return token.text


def _key(text: str) -> LabelKey:
    """A key written `source.key`, checked as a Kubernetes label key of all that text."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > _SUBDOMAIN_MAX or not _SUBDOMAIN.fullmatch(prefix)):
        raise _SyntaxError(f"{_shown(prefix)!r} is no DNS name to stand before the slash of a key")
    if len(name) > _NAME_MAX or not _NAME.fullmatch(name):
        raise _SyntaxError(
            f"{_shown(name)!r} is no name of a label: up to {_NAME_MAX} letters, digits, '-', '_' "
            "and '.', first and last a letter or digit"
        )
    return LabelKey.of(text)


def _shown(part: str) -> str:
    """A part of a key without the source that selectors are given for reading them."""
    return part.removeprefix("any.")


def _check_value(value: str) -> None:
    if value and (len(value) > _NAME_MAX or not _NAME.fullmatch(value)):
        raise _SyntaxError(
            f"{value!r} is no value of a label: up to {_NAME_MAX} letters, digits, '-', '_' and "
            "'.', first and last a letter or digit"
        )
