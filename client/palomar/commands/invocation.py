"""One run of the command line: what holds for all of it, whichever command it is.

The options that every command shares (`server_options`) leave their values here, and commands ask
here for a client. Click carries it along as the context's object: `Invocation.of(ctx)`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import click

from palomar.dialect import Dialect

if TYPE_CHECKING:
    from palomar.client import Client


@dataclass
class Invocation:
    """What the options say that are not of one command alone.

    Attributes:
        dialect: Whose habits to follow.
        debug: Whether to say more, and to show tracebacks.
        server: The server's text; `None` for the default.
        connect_timeout_s: How long to wait for a connection.
    """

    dialect: Dialect = Dialect.PALOMAR
    debug: bool = False
    server: str | None = None
    connect_timeout_s: float = 5.0

    @classmethod
    def of(cls, ctx: click.Context) -> Self:
        """The one of this run, made when first asked for."""
        return ctx.ensure_object(cls)

    @property
    def strict(self) -> bool:
        """Whether to do exactly as `hubble` does."""
        return self.dialect is Dialect.HUBBLE

    def client(self) -> "Client":
        """Make a client as the options say; use it in a `with` block.

        Raises:
            InvalidRequest: The options contradict each other.
        """
        from palomar.client import Client  # noqa: PLC0415 - loads gRPC, which --help should not await

        return Client(self.server, connect_timeout_s=self.connect_timeout_s)
