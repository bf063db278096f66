"""http_status_code, http_method, http_path, http_url and http_header.

All of them match access log flows only, and are refused beside an `event_type` that lets none of
those pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.event_type import ACCESS_LOG
from palomar_proto.url import request_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from palomar_proto.flow import flow_pb2
    from palomar_proto.flow_filter.event_type import EventTypePattern

_STATUS = re.compile(r"[1-5][0-9]{2}")
_STATUS_PREFIX = re.compile(r"[1-5][0-9]?\+")


@dataclass(frozen=True, slots=True)
class StatusCodes:
    """Status codes and beginnings of such, as alternatives."""

    codes: frozenset[str]
    prefixes: tuple[str, ...]

    def matches(self, code: int) -> bool:
        """Whether a code is one of these; 0 says that there is no response, and never is."""
        text = f"{code:03d}"
        return code != 0 and (text in self.codes or text.startswith(self.prefixes))


def parse_status_codes(field: str, values: Iterable[str]) -> StatusCodes:
    """The codes of a field: `404`, `5+` for all from 500 to 599, `40+` for 400 to 409.

    Raises:
        FilterError: a value is neither a code from 100 to 599 nor its beginning with a plus.
    """
    codes: set[str] = set()
    prefixes: dict[str, None] = {}
    for value in values:
        if _STATUS.fullmatch(value):
            codes.add(value)
        elif _STATUS_PREFIX.fullmatch(value):
            prefixes[value[:-1]] = None
        else:
            raise FilterError(field, value, "is neither a status code like 404 nor one like 4+")
    return StatusCodes(frozenset(codes), tuple(prefixes))


def parse_methods(
    field: str,  # noqa: ARG001 - every parse function takes it
    values: Iterable[str],
) -> frozenset[str]:
    """The methods of a field, as alternatives, as `folded` writes them. Every value is valid."""
    return frozenset(map(folded, values))


def folded(method: str) -> str:
    """A method without the difference of upper and lower case, character by character."""
    if method.isascii():
        return method.lower()
    return "".join(
        other if len(other := character.casefold()) == 1 else character for character in method
    )


def parse_headers(
    field: str,  # noqa: ARG001 - every parse function takes it
    values: Iterable[flow_pb2.HTTPHeader],
) -> frozenset[tuple[str, str]]:
    """(key, value) of the headers of a field, as alternatives, both exact. Every one is valid."""
    return frozenset((value.key, value.value) for value in values)


def check_event_types(field: str, value: object, types: Sequence[EventTypePattern]) -> None:
    """Raise FilterError if there are event types and access logs are not named among them."""
    if types and all(one.type != ACCESS_LOG for one in types):
        raise FilterError(field, value, f"needs {ACCESS_LOG} in event_type, or no event_type")


@lru_cache(maxsize=4_096)
def path_of(url: str) -> str | None:
    """The decoded path of a flow's URL; None if it is no URL that a request could have."""
    path = request_path(url.encode())
    return None if path is None else path.decode(errors="replace")
