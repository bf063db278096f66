"""Where a stream of batches got to, as bytes that a client keeps and hands back.

A token is no secret and grants nothing that the request would not: a forged one only starts a
stream elsewhere. Its checksum is there against cut and mixed-up ones, which then do not look like
a gap in the flows.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from palomar_server.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from palomar_proto.flow import flow_pb2

NO_LIMIT = (1 << 64) - 1
"""What a request that does not count its flows has left."""

_FIELD = "resume_token"
_VERSION = 1
_DIGEST_BYTES = 8
_BODY = struct.Struct(f">BQIQQQ{_DIGEST_BYTES}s")
"""Version, run, node, sequence, flows left, since in ns, filters."""
_CHECKSUM = struct.Struct(">I")
_RECEIVED = struct.Struct(">QQ")
"""What a client appends that stopped within the batch: the last sequence it has read, and how many
flows of the batch come after that."""
_LENGTH = _BODY.size + _CHECKSUM.size


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """One position in the ring of one run, and what else a stream needs to go on there."""

    run_id: int
    """The run of the daemon, 60 bits."""
    node: int
    """`node_digest` of the name that the node was started with."""
    sequence: int
    """The next event to look at."""
    left: int
    """Flows still to be sent; `NO_LIMIT` where the request does not count them."""
    since_ns: int
    """Earliest time, inclusive, UTC ns; 0 for any."""
    filters: bytes
    """`filters_digest` of the request."""

    def to_bytes(self) -> bytes:
        """The token as it is sent."""
        body = _BODY.pack(
            _VERSION,
            self.run_id,
            self.node,
            self.sequence,
            self.left,
            self.since_ns,
            self.filters,
        )
        return body + _CHECKSUM.pack(zlib.crc32(body))

    @classmethod
    def from_bytes(cls, token: bytes) -> ResumeToken:
        """Read a token, with what its client has appended.

        Raises:
            InvalidRequest: these bytes are no token, or one of another version.
        """
        own, appended = token[:_LENGTH], token[_LENGTH:]
        if len(own) < _LENGTH or len(appended) not in {0, _RECEIVED.size}:
            raise InvalidRequest(_FIELD, token, f"has {len(token)} bytes, which no token has")
        if zlib.crc32(own[: _BODY.size]) != _CHECKSUM.unpack_from(own, _BODY.size)[0]:
            raise InvalidRequest(_FIELD, token, "is damaged: its checksum does not match")
        version, run_id, node, sequence, left, since_ns, filters = _BODY.unpack_from(own)
        if version != _VERSION:
            raise InvalidRequest(
                _FIELD, token, f"has version {version}; this daemon knows {_VERSION}"
            )
        read = cls(run_id, node, sequence, left, since_ns, filters)
        if not appended:
            return read
        received, missing = _RECEIVED.unpack(appended)
        return read._behind(received, missing, token)

    def _behind(self, received: int, missing: int, token: bytes) -> ResumeToken:
        """The token of a client that lacks the end of the batch."""
        if received >= self.sequence:
            rule = f"goes on at {self.sequence}, which is not behind {received}"
            raise InvalidRequest(_FIELD, token, rule)
        left = min(self.left + missing, NO_LIMIT)
        return replace(self, sequence=received + 1, left=left)


def node_digest(node_name: str) -> int:
    """Enough of a node's name to tell that a token is of another node, 32 bits."""
    return zlib.crc32(node_name.encode())


def filters_digest(
    whitelist: Iterable[flow_pb2.FlowFilter], blacklist: Iterable[flow_pb2.FlowFilter]
) -> bytes:
    """What stands for the filters of a request: equal filters in equal order have equal digests.

    64 bits tell requests apart that are not made to be alike, and more is not asked of them.
    """
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for filters in (whitelist, blacklist):
        texts = [one.SerializeToString(deterministic=True) for one in filters]
        digest.update(struct.pack(f">{len(texts) + 1}Q", len(texts), *map(len, texts)))
        digest.update(b"".join(texts))
    return digest.digest()
