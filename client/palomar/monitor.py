"""Raw monitor payloads from a monitor socket, palomard's or a Cilium agent's.

    with MonitorClient("/run/palomar/monitor.sock") as monitor:
        for payload in monitor.payloads():
            ...

A payload is a `palomar_proto.monitor.payload.Payload`: the bytes of one monitor message and the CPU
it is from, or a notice of how many were lost. Used by `palomar monitor`.
"""

import os
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from palomar.errors import InvalidRequest, ServerError, ServerUnavailable
from palomar_proto.monitor.payload import Payload, PayloadDecoder, PayloadError

DEFAULT_MONITOR_SOCKET = "/run/palomar/monitor.sock"
"""Where palomard serves raw payloads unless told otherwise; Cilium does so at
/var/run/cilium/monitor1_2.sock."""

_PATH_BYTES_MAX = 107
_RECEIVE_BYTES = 1 << 18


class MonitorClient:
    """A connection to a monitor socket.

    Args:
        path: Of the socket, also written as `unix:PATH`.

    Raises:
        InvalidRequest: The path cannot be one of a socket.
        ServerUnavailable: Nobody serves there, or this user may not ask.
    """

    def __init__(self, path: str = DEFAULT_MONITOR_SOCKET) -> None:
        self.path = path.removeprefix("unix://").removeprefix("unix:")
        if not 0 < len(os.fsencode(self.path)) <= _PATH_BYTES_MAX or "\0" in self.path:
            raise InvalidRequest(
                f"{path!r} is no path of a socket: it must have 1 to {_PATH_BYTES_MAX} bytes"
            )
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.connect(self.path)
        except OSError as error:
            self._connection.close()
            raise ServerUnavailable(
                f"cannot reach the monitor socket {self.path}: {_reason(error)}; does palomard or "
                "a Cilium agent serve it? Name another one with --socket"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def batches(self) -> Iterator[list[Payload]]:
        """Payloads as they arrive, those that came together in one list, until the server ends.

        Raises:
            ServerError: What the server sends is no monitor stream, or ends within a message.
            ServerUnavailable: The connection was cut.
        """
        decoder = PayloadDecoder()
        try:
            while data := self._connection.recv(_RECEIVE_BYTES):
                if payloads := decoder.feed(data):
                    yield payloads
                if decoder.ended:
                    raise ServerError(f"{self.path} ended its stream within a message")
            decoder.finish()
        except PayloadError as error:
            if error.payloads:
                yield error.payloads
            raise ServerError(f"{self.path} sent no monitor stream: {error}") from error
        except OSError as error:
            raise ServerUnavailable(f"{self.path} went away: {_reason(error)}") from error

    def payloads(self) -> Iterator[Payload]:
        """Each payload of `batches`; raises what that does."""
        for batch in self.batches():
            yield from batch


def _reason(error: OSError) -> str:
    return {
        FileNotFoundError: "there is no such socket",
        PermissionError: "permission denied on the socket",
        ConnectionRefusedError: "nothing listens on the socket",
    }.get(type(error), error.strerror or str(error))
