"""Labels of endpoints and nodes: `source:key=value`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from palomar_proto.flow_filter.address import read_prefix

if TYPE_CHECKING:
    from palomar_proto.flow_filter.address import Prefix

ANY_SOURCE = "any"
NO_SOURCE = "unspec"
"""The source of labels that name none."""
_RESERVED = "reserved"
_CIDR = "cidr"


@dataclass(frozen=True, slots=True)
class Label:
    """A label in parts."""

    source: str
    key: str
    value: str
    """Empty, too, if there is no equals sign."""


@dataclass(frozen=True, slots=True)
class LabelKey:
    """What a selector looks for."""

    source: str
    """`any`: labels of every source."""
    key: str

    @classmethod
    def of(cls, text: str) -> Self:
        """A key written `source.key`."""
        source, _, key = text.partition(".")
        return cls(ANY_SOURCE if source == NO_SOURCE else source, key)

    def is_of(self, label: Label) -> bool:
        """Whether that label has this key. A CIDR label has the keys of all wider prefixes too."""
        if self.source not in (ANY_SOURCE, label.source):
            return False
        if self.key == label.key:
            return True
        return self.source == _CIDR and _within(label.key, self.key)


@lru_cache(maxsize=4_096)
def parse_label(text: str) -> Label:
    """Take a label apart. Every text is one."""
    source, rest = _split_source(text)
    key, equals, value = rest.partition("=")
    if equals and not key and source == _RESERVED:
        return Label(source, value, "")
    return Label(source or NO_SOURCE, key, value)


def _split_source(text: str) -> tuple[str, str]:
    if text.startswith("$"):
        return _RESERVED, text[1:]
    source, colon, rest = text.partition(":")
    if colon:
        return source, rest
    if text.startswith(f"{_RESERVED}."):
        return _RESERVED, text.removeprefix(f"{_RESERVED}.")
    return "", text


def _within(inner: str, outer: str) -> bool:
    one, other = _prefix(inner), _prefix(outer)
    if one is None or other is None or one.length < other.length:
        return False
    return other.holds(one.version, one.network)


@lru_cache(maxsize=1_024)
def _prefix(key: str) -> Prefix | None:
    # In keys the colons of IPv6 are written as dashes.
    try:
        return read_prefix(key.replace("-", ":"))
    except ValueError:
        return None
