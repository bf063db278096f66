"""Looks at the lengths of HTTP/2 frames before they come, for h2 collects a frame and then looks.

Without this a client that promises a frame of 16 MiB, which is as much as its header can say, has
as much memory, on each of its connections.
"""

from __future__ import annotations

_PREFACE_BYTES = 24
"""What a client sends before its first frame (RFC 9113, 3.4)."""
_HEADER_BYTES = 9
_LENGTH_BYTES = 3
_FRAME_BYTES_MAX = 1 << 14
"""Of a frame's content, unless a server allows more, which palomard does not (RFC 9113, 4.2)."""


class FrameLengths:
    """Follows what one client sends."""

    def __init__(self) -> None:
        self._skip = _PREFACE_BYTES
        self._header = bytearray()

    def fit(self, data: bytes) -> bool:
        """Whether no frame that begins in the next bytes is longer than may be."""
        at = 0
        while at < len(data):
            step = min(self._skip, len(data) - at)
            self._skip -= step
            at += step
            header = data[at : at + _HEADER_BYTES - len(self._header)]
            self._header += header
            at += len(header)
            if len(self._header) == _HEADER_BYTES:
                self._skip = int.from_bytes(self._header[:_LENGTH_BYTES], "big")
                self._header.clear()
                if self._skip > _FRAME_BYTES_MAX:
                    return False
        return True
