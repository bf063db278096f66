"""Many `[namespace/]name-prefix` patterns at once, asked of every endpoint and service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from palomar_proto.flow_filter.pod_name import NamePrefix

_ANY_NAMESPACE = ""


class NamePrefixes:
    """Patterns as alternatives, by namespace.

    Args:
        patterns: as parsed.
    """

    def __init__(self, patterns: Iterable[NamePrefix]) -> None:
        self._prefixes: dict[str, tuple[str, ...]] = {}
        for one in patterns:
            self._prefixes[one.namespace] = (*self._prefixes.get(one.namespace, ()), one.prefix)
        self._anywhere = self._prefixes.get(_ANY_NAMESPACE, ())

    def match(self, namespace: str, name: str) -> bool:
        """Whether one of them matches: the same as asking each."""
        if not namespace and not name:
            return False
        # One call for all prefixes: with a thousand of them a loop would take long.
        return name.startswith(self._anywhere + self._prefixes.get(namespace, ()))
