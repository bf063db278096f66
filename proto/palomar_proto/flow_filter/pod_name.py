"""source_pod, destination_pod, source_service and destination_service: `[namespace/]name-prefix`.

Without a slash the namespace is `default`; `shop/` is all of a namespace; `/cart` is any namespace.
The namespace has to be equal, the name has to begin so. What follows a second slash is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class NamePrefix:
    """One pattern."""

    namespace: str
    """Empty: any."""
    prefix: str
    """Empty: any name, even none."""

    def matches(self, namespace: str, name: str) -> bool:
        """Whether an object of that namespace and name is meant; without both none ever is."""
        if not namespace and not name:
            return False
        return self.namespace in ("", namespace) and name.startswith(self.prefix)


def parse_name_prefixes(field: str, values: Iterable[str]) -> tuple[NamePrefix, ...]:
    """The patterns of a field, as alternatives.

    Raises:
        FilterError: a value is empty.
    """
    return tuple(_parse(field, value) for value in values)


def _parse(field: str, value: str) -> NamePrefix:
    if not value:
        raise FilterError(field, value, "is empty; write [namespace/]name-prefix")
    namespace, slash, rest = value.partition("/")
    if not slash:
        return NamePrefix(DEFAULT_NAMESPACE, value)
    return NamePrefix(namespace, rest.partition("/")[0])
