"""Channels: a target, trust and identity in, a gRPC channel out.

The one place where both clients' connections are made, so that they cannot differ. Making one does
not connect yet, unless the certificate of the server has to be fetched (`Tls.allow_insecure`).
"""

from typing import TYPE_CHECKING

import grpc

from palomar.errors import InvalidRequest
from palomar.rpc import CONNECT_TIMEOUT_S, channel_options

if TYPE_CHECKING:
    from grpc import aio

    from palomar.auth import Auth
    from palomar.target import Target
    from palomar.tls import Tls


def open_channel(
    target: "Target",
    tls: "Tls | None" = None,
    auth: "Auth | None" = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> grpc.Channel:
    """Make a channel.

    Args:
        target: The server.
        tls: How to make sure of it; `None` for what the target itself says.
        auth: What will go with the calls; here only for the check below.
        connect_timeout_s: How long to wait for a connection.

    Raises:
        InvalidRequest: A secret would be sent in plain text over a network, or a file of `tls`
            cannot be used.
        ServerUnavailable: The certificate of the server cannot be fetched.
    """
    tls = _checked(target, tls, auth)
    options = _options(target, connect_timeout_s)
    if tls is None:
        return grpc.insecure_channel(target.address, options)
    credentials, more = tls.credentials(target, connect_timeout_s)
    return grpc.secure_channel(target.address, credentials, (*options, *more))


def open_aio_channel(
    target: "Target",
    tls: "Tls | None" = None,
    auth: "Auth | None" = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> "aio.Channel":
    """Make a channel for asyncio, otherwise like `open_channel`."""
    from grpc import aio  # noqa: PLC0415 - it loads asyncio, which the synchronous client has not

    tls = _checked(target, tls, auth)
    options = _options(target, connect_timeout_s)
    if tls is None:
        return aio.insecure_channel(target.address, options)
    credentials, more = tls.credentials(target, connect_timeout_s)
    return aio.secure_channel(target.address, credentials, (*options, *more))


def _options(target: "Target", connect_timeout_s: float) -> tuple[tuple[str, str | int], ...]:
    options = channel_options(connect_timeout_s)
    if not target.loopback:
        return options
    # Go never asks a proxy for this machine; gRPC would, wherever `http_proxy` is set.
    return (*options, ("grpc.enable_http_proxy", 0))


def _checked(target: "Target", tls: "Tls | None", auth: "Auth | None") -> "Tls | None":
    """How to make sure of the target, once that is enough for what will be sent."""
    tls = tls or target.tls
    if auth is not None and tls is None and not target.socket_path:
        raise InvalidRequest(
            f"a password or token would go to {target.text} in plain text; use TLS (--tls or "
            f"--server tls://{target.address})"
        )
    return tls
