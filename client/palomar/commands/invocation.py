"""One run of the command line: what holds for all of it, whichever command it is.

The options that every command shares (`server_options`) leave their values here, and commands ask
here for a client. Click carries it along as the context's object: `Invocation.of(ctx)`.
"""

import os
import signal
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Self

import click

from palomar.configuration import Configuration, Origin
from palomar.dialect import Dialect, environment_dialect
from palomar.errors import InvalidRequest
from palomar.target import TLS_SCHEME

if TYPE_CHECKING:
    from palomar.auth import Auth
    from palomar.client import Client
    from palomar.tls import Tls

BEARER_TOKEN_VARIABLE = "PALOMAR_BEARER_TOKEN"  # noqa: S105 - its name
"""Environment variable with a token for the server; there is no flag, since flags can be seen."""


@dataclass
class Invocation:
    """What the options and settings say that are not of one command alone.

    Attributes:
        dialect: Whose habits to follow.
        flags: Values that flags gave, by setting; see `configuration.Configuration`.
    """

    dialect: Dialect = field(default_factory=environment_dialect)
    flags: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.configuration = Configuration(self.dialect, self.flags)

    @classmethod
    def of(cls, ctx: click.Context) -> Self:
        """The one of this run, made when first asked for."""
        return ctx.ensure_object(cls)

    @property
    def strict(self) -> bool:
        """Whether to do exactly as `hubble` does."""
        return self.dialect is Dialect.HUBBLE

    @property
    def debug(self) -> bool:
        """Whether to say more, and to show tracebacks."""
        return self.configuration.boolean("debug")

    @property
    def verbose(self) -> bool:
        """Whether to tell what is asked of the server, such as the filters in force."""
        return self.configuration.boolean("verbose")

    @property
    def server(self) -> str:
        """The server's text."""
        return self.configuration.text("server")

    @property
    def connect_timeout_s(self) -> float:
        """How long to wait for a connection."""
        return self.configuration.duration_s("timeout")

    @property
    def request_timeout_s(self) -> float:
        """How long a call may take that has one answer."""
        return self.configuration.duration_s("request-timeout")

    @property
    def tls(self) -> "Tls | None":
        """How to make sure of the server; `None` to talk in plain text.

        Raises:
            InvalidRequest: The settings contradict each other.
        """
        settings = self.configuration
        certificate = settings.text("tls-client-cert-file")
        key = settings.text("tls-client-key-file")
        if bool(certificate) != bool(key):
            raise InvalidRequest(
                "a client certificate and its key go together; give both --tls-client-cert-file "
                "and --tls-client-key-file, or neither"
            )
        if not self._talks_tls():
            self._refuse_idle_tls(certificate)
            return None
        from palomar.tls import Tls  # noqa: PLC0415 - few need it

        return Tls(
            ca_cert_files=tuple(settings.texts("tls-ca-cert-files")),
            client_cert_file=certificate,
            client_key_file=key,
            server_name=settings.text("tls-server-name"),
            allow_insecure=settings.boolean("tls-allow-insecure"),
        )

    @property
    def auth(self) -> "Auth | None":
        """What to show the server.

        Raises:
            InvalidRequest: Half of what is needed, or two ways at once.
        """
        settings = self.configuration
        username = settings.text("basic-auth-username")
        password = settings.text("basic-auth-password")
        if bool(username) != bool(password):
            raise InvalidRequest(
                "a user name and its password go together; give both --basic-auth-username and "
                "--basic-auth-password, or neither"
            )
        token = os.environ.get(BEARER_TOKEN_VARIABLE, "")
        file = settings.find("bearer-token-file")
        if file.origin is Origin.FLAG:
            token = ""
        if not (username or token or file.value):
            return None
        if username and (token or file.value):
            raise InvalidRequest(
                "a password and a token are given, but a call takes one of them; leave out "
                f"--basic-auth-username, or --bearer-token-file and {BEARER_TOKEN_VARIABLE}"
            )
        from palomar.auth import BasicAuth, BearerToken  # noqa: PLC0415 - few need it

        if username:
            return BasicAuth(username, password)
        return BearerToken(token) if token else BearerToken(file=str(file.value))

    def check(self) -> None:
        """Make sure that the settings fit together, before anything is asked.

        Raises:
            InvalidRequest: They do not.
        """
        # In the order in which `hubble` complains.
        auth, tls = self.auth, self.tls
        if self.strict and auth is not None and tls is None:
            raise InvalidRequest("a password or token is sent over TLS only; add --tls")
        _ = self.connect_timeout_s, self.request_timeout_s, self.debug, self.verbose
        if self.configuration.boolean("port-forward"):
            self.configuration.port("port-forward-port")

    def filter_list(self, name: str) -> list[str]:
        """The JSON texts of `allowlist` or `denylist` where no flag gives any.

        Args:
            name: Which of the two.

        Returns:
            Those of the view, else of the environment, else of the configuration file.

        Raises:
            InvalidRequest: A file that was asked for cannot be read.
        """
        return self.configuration.filter_texts(name)

    def client(self) -> "Client":
        """Make a client as the options say; use it in a `with` block.

        Raises:
            InvalidRequest: The options contradict each other.
            ServerUnavailable: There is no way to the server that `--port-forward` asks for.
        """
        from palomar.client import Client  # noqa: PLC0415 - loads gRPC, which --help should not await
        from palomar.reconnection import RECONNECT  # noqa: PLC0415 - loaded by the client anyway

        return Client(
            self._address(),
            tls=self.tls,
            auth=self.auth,
            connect_timeout_s=self.connect_timeout_s,
            request_timeout_s=self.request_timeout_s,
            # `hubble` asks once, for single flows.
            reconnect=None if self.strict else RECONNECT,
            batches=not self.strict,
        )

    def _address(self) -> str:
        """The server, once there is a way to it."""
        settings = self.configuration
        if not settings.boolean("port-forward"):
            return self.server
        from palomar.port_forward import PortForward  # noqa: PLC0415 - few need it

        forward = PortForward(
            namespace=settings.text("kube-namespace"),
            context=settings.text("kube-context"),
            kubeconfig=settings.text("kubeconfig"),
            local_port=settings.port("port-forward-port"),
        )
        ctx = click.get_current_context()
        ctx.call_on_close(forward.close)
        # Whoever ends us by these ends kubectl as well: else it would hold on to the port.
        for number in (signal.SIGTERM, signal.SIGHUP):
            before = signal.signal(number, _end_in_order)
            ctx.call_on_close(partial(signal.signal, number, before))
        return forward.open()

    def _talks_tls(self) -> bool:
        if self.server.startswith(TLS_SCHEME):
            return True
        found = self.configuration.find("tls")
        if not self.configuration.boolean("tls"):
            return False
        # What a file says of its server's TLS is not meant for a local socket named on the way.
        local = self.server.startswith(("unix:", "/"))
        return self.strict or not local or found.origin is Origin.FLAG

    def _refuse_idle_tls(self, certificate: str) -> None:
        """Refuse what only means something over TLS, rather than to leave it out silently."""
        if certificate and (self.strict or self.flags.get("tls") is not False):
            raise InvalidRequest("a client certificate is shown over TLS only; add --tls")
        for name in ("tls-ca-cert-files", "tls-server-name", "tls-allow-insecure"):
            if self.flags.get(name) and not self.strict:
                raise InvalidRequest(f"--{name} means nothing without TLS; add --tls")


def _end_in_order(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)  # as a shell has it
