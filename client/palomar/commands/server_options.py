"""The options that every command takes: which server, how to reach it, and where settings are.

`server_options` is for commands that talk to a server: their function runs only once the settings
fit together. `add_settings` gives every other command, and the tool itself, the same options, so
that they may stand before or behind a command's name. Values go to the `Invocation`.
"""

import functools
from collections.abc import Callable
from typing import Any

import click

from palomar.commands.invocation import Invocation
from palomar.configuration import SETTINGS, Kind
from palomar.dialect import STRICT_FLAG, STRICT_VARIABLE
from palomar.errors import InvalidRequest
from palomar.target import DEFAULT_SERVER, parse_target
from palomar.timestamps import duration_ns

# (metavar, help) by setting; a flag without metavar takes no value.
_HELP: dict[str, tuple[str, str]] = {
    "server": (
        "TARGET",
        f"unix:PATH or [tls://]HOST:PORT of palomard or Hubble.  [default: {DEFAULT_SERVER}]",
    ),
    "timeout": ("DURATION", "How long to wait for a connection.  [default: 5s]"),
    "request-timeout": (
        "DURATION",
        "How long to wait for an answer that is no stream.  [default: 12s]",
    ),
    "tls": ("", "Talk over TLS, also without tls:// before the server."),
    "tls-allow-insecure": ("", "Believe whichever server answers. Not safe from one in between."),
    "tls-ca-cert-files": (
        "FILE,…",
        "Authorities that may vouch for the server.  [default: the system's]",
    ),
    "tls-client-cert-file": ("FILE", "Certificate to show the server."),
    "tls-client-key-file": ("FILE", "Its private key."),
    "tls-server-name": (
        "NAME",
        "The name the server's certificate must bear.  [default: its host]",
    ),
    "basic-auth-username": ("NAME", "User name for the server."),
    "basic-auth-password": (
        "TEXT",
        "Its password; safer in the environment or the file, since others can see flags.",
    ),
    "bearer-token-file": ("FILE", "Token for the server. Or put it into PALOMAR_BEARER_TOKEN."),
    "port-forward": ("", "Reach the relay of a Kubernetes cluster through kubectl."),
    "port-forward-port": ("PORT", "Local port for that, or 0 for any.  [default: 4245]"),
    "kube-context": ("NAME", "Context of the Kubernetes configuration."),
    "kube-namespace": ("NS", "Namespace of the relay.  [default: kube-system]"),
    "kubeconfig": ("FILE", "Kubernetes configuration."),
    "debug": ("", "Say more; show a traceback on errors."),
    "verbose": ("", "Tell what is asked of the server."),
    "config": ("FILE", "Read settings from this file; see palomar config."),
    "view": (
        "NAME",
        "Use the settings and filters saved as views/NAME.yaml beside the configuration.",
    ),
    "strict-hubble": ("", f"Do exactly as hubble does. Also {STRICT_VARIABLE}=1."),
}
_NAMES = tuple(_HELP)
_SHORT = {"port-forward": "-P", "debug": "-D", "verbose": "-v"}


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, and run the command only if their values fit together."""

    @functools.wraps(command)
    def checked(*args: Any, **values: Any) -> Any:
        ctx = click.get_current_context()
        try:
            Invocation.of(ctx).check()
        except InvalidRequest as error:
            raise click.UsageError(str(error), ctx) from error
        return command(*args, **values)

    options: list[click.Parameter] = getattr(checked, "__click_params__", [])
    # Click turns the list round, since decorators are applied from below.
    checked.__click_params__ = [*reversed(_options()), *options]  # type: ignore[attr-defined]
    return checked


def add_settings(command: click.Command, *, shown: frozenset[str] = frozenset()) -> None:
    """Add those of the options that a command does not have, and to all commands below it.

    Args:
        command: The command. Options of its own by the same names stay what they are.
        shown: Names of the options that its help tells of.
    """
    taken = {name for parameter in command.params for name in parameter.opts}
    # Most commands have them all: making options to throw them away takes a millisecond.
    for name in _NAMES:
        if taken.isdisjoint({f"--{name}", _SHORT.get(name, "")}):
            option = _option(name)
            option.hidden = name not in shown
            command.params.append(option)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_settings(below)


def _options() -> list[click.Option]:
    return [_option(name) for name in _NAMES]


def _option(name: str) -> click.Option:
    metavar, text = _HELP[name]
    flags = [*([_SHORT[name]] if name in _SHORT else []), f"--{name}"]
    # Without a default, so that what was not given can be looked for elsewhere.
    if not metavar:
        return click.Option(
            flags, is_flag=True, default=None, expose_value=False, callback=_note, help=text
        )
    return click.Option(
        flags,
        metavar=metavar,
        multiple=name in SETTINGS and SETTINGS[name].kind is Kind.STRINGS,
        expose_value=False,
        callback=_note,
        help=text,
    )


def _note(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep what a flag says; refuse what means nothing before anything else is done."""
    name = str(param.name).replace("_", "-")
    if value is None or value == () or f"--{name}" == STRICT_FLAG:
        return  # the dialect was found out before
    invocation = Invocation.of(ctx)
    kind = SETTINGS[name].kind if name in SETTINGS else None
    if kind is Kind.STRINGS:
        value = [part for text in value for part in text.split(",") if part]
    elif kind is Kind.DURATION and (duration_ns(value) is None or not invocation.strict):
        _check_duration(ctx, param, value)
    elif kind is Kind.PORT and invocation.strict:
        value = _strict_port(ctx, param, value)
    elif name == "server" and not invocation.strict:
        try:
            parse_target(value)
        except InvalidRequest as error:
            raise click.BadParameter(str(error), ctx, param) from error
    invocation.configuration.flags[name] = value


def _check_duration(ctx: click.Context, param: click.Parameter, text: str) -> None:
    read_ns = duration_ns(text)
    if Invocation.of(ctx).strict:
        from palomar.duration_errors import duration_error  # noqa: PLC0415 - only for an error

        raise click.BadParameter(duration_error(text), ctx, param)
    if read_ns is None or read_ns <= 0:
        raise click.BadParameter(
            f"{text!r} is not a duration; write it like 5s or 1m30s", ctx, param
        )


def _strict_port(ctx: click.Context, param: click.Parameter, text: str) -> str:
    from palomar.go_syntax import parse_uint  # noqa: PLC0415 - few need it

    try:
        return str(parse_uint(text, bits=16, prefixes=True))
    except InvalidRequest as error:
        raise click.BadParameter(str(error), ctx, param) from error
