"""Messages as gRPC frames them in a stream of bytes: a flag, a length, the message.

`frame` makes such bytes of many messages at once, and a `MessageReader` finds the messages in bytes
that come in pieces, from whoever sends them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from palomar_server.errors import Exhausted, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = struct.Struct(">?I")
"""Whether it is compressed, and its length in bytes."""
PREFIX_BYTES = _PREFIX.size


def frame(messages: Iterable[bytes]) -> bytes:
    """The bytes of all messages, one behind the other; none is compressed."""
    pack = _PREFIX.pack
    parts: list[bytes] = []
    for message in messages:
        parts.append(pack(False, len(message)))  # noqa: FBT003 - the flag of the format
        parts.append(message)
    return b"".join(parts)


class MessageReader:
    """Finds messages in what a peer sends.

    Only bytes that have come take memory, whatever length is promised.

    Args:
        bytes_max: of one message.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes.

        Raises:
            Exhausted: a message is larger than may be; nothing more can be read.
            Unsupported: a message is compressed; likewise.
        """
        buffer = self._buffer
        buffer += data
        messages: list[bytes] = []
        start = 0
        while len(buffer) - start >= PREFIX_BYTES:
            compressed, length = _PREFIX.unpack_from(buffer, start)
            if length > self._bytes_max:
                raise Exhausted(
                    f"the request has {length} bytes, more than the {self._bytes_max} allowed"
                )
            if compressed:
                raise Unsupported(
                    "the request is compressed, which is not supported: send it plain"
                )
            end = start + PREFIX_BYTES + length
            if len(buffer) < end:
                break
            messages.append(bytes(memoryview(buffer)[start + PREFIX_BYTES : end]))
            start = end
        del buffer[:start]
        return messages

    @property
    def pending(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)
