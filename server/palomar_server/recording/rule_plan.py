"""Algebra of capture rules: both of two, and few that select what many do.

Everything here may select more than was asked for, and says so, but never less.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from palomar_bpf.capture_rule import CaptureRule

if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Iterable, Sequence

    Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NETWORKS_PER_RULE_MAX = 4_096
"""Networks of one side of a rule, whose side is any beyond: the kernel's tables are shared by all
rules, and writing an entry takes microseconds."""

_Value = TypeVar("_Value")
_NAMES = tuple(field.name for field in fields(CaptureRule))


@dataclass(frozen=True, slots=True)
class RulePlan:
    """Rules as alternatives."""

    rules: tuple[CaptureRule, ...]
    """Without any, nothing is selected."""
    is_exact: bool
    """Whether they select no more than what they were made for."""


def meet(left: CaptureRule, right: CaptureRule) -> CaptureRule | None:
    """What both rules select; None if that is nothing."""
    points = left.points & right.points
    values: dict[str, tuple[object, ...]] = {}
    for name in _NAMES:
        if name == "points":
            continue
        mine, other = getattr(left, name), getattr(right, name)
        if mine and other:
            both = _meet_networks(mine, other) if name in _ADDRESSES else _meet(mine, other)
            if not both:
                return None
            values[name] = both
        else:
            values[name] = mine or other
    return CaptureRule(points=points, **values) if points else None  # type: ignore[arg-type] # by name


def meet_all(left: Iterable[CaptureRule], right: Sequence[CaptureRule]) -> list[CaptureRule]:
    """What one of the rules on each side selects."""
    both = (meet(one, other) for one in left for other in right)
    return [one for one in both if one is not None]


def reduced(rules: Iterable[CaptureRule], rules_max: int) -> RulePlan:
    """At most so many rules that select at least what the given ones do.

    Args:
        rules: alternatives.
        rules_max: 1 or more.
    """
    left = _merged(rules)
    is_exact = len(left) <= rules_max
    if not is_exact:
        # Neighbours in this order have most in common.
        left.sort(key=_order)
        bounds = [len(left) * part // rules_max for part in range(rules_max + 1)]
        left = [_union(left[start:end]) for start, end in itertools.pairwise(bounds)]
    bounded = [_bounded(one) for one in left]
    is_exact &= bounded == left
    return RulePlan(tuple(_merged(bounded)), is_exact)


_ADDRESSES = ("sources", "destinations")


def _meet(left: tuple[_Value, ...], right: tuple[_Value, ...]) -> tuple[_Value, ...]:
    others = frozenset(right)
    return tuple(value for value in left if value in others)


def _meet_networks(left: tuple[Network, ...], right: tuple[Network, ...]) -> tuple[Network, ...]:
    return tuple(dict.fromkeys((*_within(left, right), *_within(right, left))))


def _within(networks: tuple[Network, ...], others: tuple[Network, ...]) -> list[Network]:
    """Those of some networks that lie in one of others, which may be many."""
    keys = {(one.version, one.prefixlen, int(one.network_address)) for one in others}
    lengths = sorted({(version, length) for version, length, _ in keys})
    found = []
    for one in networks:
        number = int(one.network_address)
        for version, length in lengths:
            shift = one.max_prefixlen - length
            if version != one.version or length > one.prefixlen:
                continue
            if (version, length, number >> shift << shift) in keys:
                found.append(one)
                break
    return found


def _union(rules: Sequence[CaptureRule]) -> CaptureRule:
    """One rule that selects what any of some does, and maybe more."""
    values: dict[str, object] = {}
    for name in _NAMES:
        parts = [getattr(one, name) for one in rules]
        values[name] = _join(name, parts)
    return CaptureRule(**values)  # type: ignore[arg-type] # by name


def _join(name: str, parts: Sequence[Iterable[object]]) -> object:
    if name == "points":
        return frozenset(point for part in parts for point in part)
    if not all(parts):
        return ()
    return tuple(dict.fromkeys(value for part in parts for value in part))


def _bounded(rule: CaptureRule) -> CaptureRule:
    for name in _ADDRESSES:
        if len(getattr(rule, name)) > NETWORKS_PER_RULE_MAX:
            rule = replace(rule, **{name: ()})  # type: ignore[arg-type] # by name
    return rule


def _merged(rules: Iterable[CaptureRule]) -> list[CaptureRule]:
    """The same with fewer rules: those that differ in one thing only become one."""
    known = _Values()
    left = list(dict.fromkeys(known.numbers(one) for one in rules))
    while True:
        before = len(left)
        for at, name in enumerate(_NAMES):
            alike: dict[tuple[int, ...], list[int]] = {}
            for one in left:
                alike.setdefault(one[:at] + one[at + 1 :], []).append(one[at])
            left = [
                (*others[:at], known.joined(name, parts), *others[at:])
                for others, parts in alike.items()
            ]
        if len(left) == before:
            return [known.rule(one) for one in left]


class _Values:
    """Numbers for values of rules, so that thousands of networks are compared once only."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._values: list[Any] = []

    def _number(self, value: object) -> int:
        number = self._numbers.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return number

    def numbers(self, rule: CaptureRule) -> tuple[int, ...]:
        """A rule as numbers."""
        return tuple(self._number(getattr(rule, name)) for name in _NAMES)

    def joined(self, name: str, parts: Sequence[int]) -> int:
        """The number of all that some values of a field are."""
        if len(parts) == 1:
            return parts[0]
        return self._number(_join(name, [self._values[part] for part in parts]))

    def rule(self, numbers: Iterable[int]) -> CaptureRule:
        """The rule of these numbers."""
        values = [self._values[number] for number in numbers]
        return CaptureRule(**dict(zip(_NAMES, values, strict=True)))


def _order(rule: CaptureRule) -> tuple[object, ...]:
    return (
        sorted(point.name for point in rule.points),
        rule.protocols,
        rule.ifindexes,
        rule.destination_ports,
        rule.source_ports,
        [str(one) for one in rule.destinations[:8]],
        [str(one) for one in rule.sources[:8]],
    )
