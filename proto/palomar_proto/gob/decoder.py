"""Decode gobs by the type descriptions they carry.

Values become plain Python: a struct a dict of the fields that were sent (gob leaves out zero
values), a slice or array a list, a map a dict, []byte and self-marshalling types (time.Time,
url.URL) bytes, a string a str with U+FFFD for what is not UTF-8, an interface value a `Concrete`.

Input is not trusted: every length is held against what is there, types and nesting are bounded.
Format: the package documentation of Go's encoding/gob; where it leaves room, what its decoder does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palomar_proto.gob.compatibility import check_compatible
from palomar_proto.gob.values import Types
from palomar_proto.gob.wire import DataEndError, GobError, read_int, read_uint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_proto.gob.types import Type

MESSAGE_BYTES_MAX = 1 << 20
"""The longest message taken unless a caller says otherwise; monitor payloads stay below 64 KiB."""


def decode_value(data: bytes, expected: Type | None = None) -> Any:
    """The first value of a gob, with the type descriptions in front of it; the rest is ignored.

    Args:
        data: the gob.
        expected: refuse values that Go would not decode into this type, so that a caller can rely
            on the type of each field it knows.

    Raises:
        GobError: the data are damaged, end before the value, go beyond a limit, or are of another
            type than expected.
    """
    for value in _Messages(len(data), expected).values(data):
        return value
    raise GobError("the data end before a value")


class StreamDecoder:
    """Decodes a gob stream as it arrives.

    After a `GobError` the stream is lost: there is no telling where the next message begins. A
    message that ends where a number is due, such as an empty one, ends the stream, as for Go.

    Args:
        message_bytes_max: longest message to take; also bounds what is held back of one that has
            not arrived in full.
        expected: as for `decode_value`.
    """

    def __init__(
        self, message_bytes_max: int = MESSAGE_BYTES_MAX, expected: Type | None = None
    ) -> None:
        self._messages = _Messages(message_bytes_max, expected)
        self._rest = b""
        self.ended = False
        """A message ended the stream: whatever follows is not read."""

    def feed(self, data: bytes) -> list[Any]:
        """The values that are complete with `data`.

        Raises:
            GobError: the stream is damaged or goes beyond a limit; what came before the damage in
                the same call stands in the error's attribute `values`.
        """
        values: list[Any] = []
        if self.ended:
            return values
        data = self._rest + data if self._rest else data
        try:
            values.extend(self._messages.values(data))
        except DataEndError:
            self.ended = True
            self._rest = b""
            return values
        except GobError as error:
            raise StreamError(str(error), values) from error
        self._rest = data[self._messages.taken :]
        return values

    def finish(self) -> None:
        """Say that nothing more comes.

        Raises:
            GobError: the stream ends within a message or between a description and its value.
        """
        if not self.ended and (self._rest or self._messages.value_due):
            raise StreamError("the stream ends within a message", [])


class StreamError(GobError):
    """A stream is damaged; `values` were complete before the damage."""

    def __init__(self, message: str, values: list[Any]) -> None:
        super().__init__(message)
        self.values = values


class _Messages:
    """Takes messages apart and remembers what types they described."""

    def __init__(self, message_bytes_max: int, expected: Type | None) -> None:
        self._message_bytes_max = message_bytes_max
        self._expected = expected
        self._types = Types()
        self._as_expected: set[int] = set()
        self.taken = 0
        """Bytes of the last data that were complete messages."""
        self.value_due = False
        """A description came after the last value."""

    def values(self, data: bytes) -> Iterator[Any]:
        """The value of each complete message in `data` that has one."""
        self.taken = 0
        while (span := self._span(data)) is not None:
            start, end = span
            body = data[start:end]
            type_id, at = read_int(body, 0)
            if type_id < 0:
                at = self._types.define(-type_id, body, at)
                if at != len(body):
                    raise GobError(f"{len(body) - at} bytes follow a type description")
                self.value_due = True
                self.taken = end
                continue
            if self._expected is not None and type_id not in self._as_expected:
                check_compatible(self._types.received, type_id, self._expected)
                self._as_expected.add(type_id)
            value = self._types.read_value(type_id, body, at)
            self.value_due = False
            self.taken = end
            yield value

    def _span(self, data: bytes) -> tuple[int, int] | None:
        """Where the body of the next message starts and ends; None while it is not complete."""
        at = self.taken
        if at >= len(data):
            return None
        first = data[at]
        if first >= 0xF8 and len(data) - at <= 256 - first:  # noqa: PLR2004 - a cut number
            return None
        length, at = read_uint(data, at)
        if length > self._message_bytes_max:
            raise GobError(f"a message of {length} bytes; at most {self._message_bytes_max} fit")
        return (at, at + length) if at + length <= len(data) else None
