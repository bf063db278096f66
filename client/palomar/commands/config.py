"""`palomar config`: settings shown and kept in the configuration file.

What is found where is said by `configuration`; how the file is written by `configuration_file`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from palomar.commands.aliased_group import AliasedGroup
from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.configuration import (
    FILTER_LISTS,
    SETTINGS,
    Configuration,
    Found,
    Kind,
    Origin,
    Setting,
)
from palomar.errors import InvalidRequest

_HIDDEN = "********"

_SUFFIXES = frozenset({".yaml", ".yml"})
"""By the suffix `hubble` knows what to write; without one it writes nothing."""


@click.group(cls=AliasedGroup, short_help="Show settings, and keep them in a file.")
def config() -> None:
    """Show settings, and keep them in the configuration file.

    A setting is that of a flag: server is what --server sets. Each is looked for in the flags, then
    in the view (--view NAME), then in the environment (PALOMAR_SERVER, then HUBBLE_SERVER), then in
    the configuration file, and is the default if it is nowhere.

    The file is $XDG_CONFIG_HOME/palomar/config.yaml (~/.config without that variable), else
    ~/.palomar/config.yaml, else hubble's own: the first that is there. --config names another one.
    Views are in the folder views beside the first; they may also hold allowlist and denylist, as
    palomar observe --print-raw-filters prints them.
    """


@config.command(cls=OrderedCommand, short_help="Show one setting, or all.")
@click.argument("words", nargs=-1, metavar="[KEY]")
@click.pass_context
def get(ctx: click.Context, /, *, words: tuple[str, ...]) -> None:
    """Show the value a setting has; without KEY, like view."""
    settings = Invocation.of(ctx).configuration
    with _usage_errors(ctx):
        if not words:
            click.echo(_view(settings), nl=False)
            return
        if len(words) > 1:
            raise InvalidRequest(_wrong_count("get takes one key, or none", words))
        click.echo(_yaml(_value(settings, _key(settings, words[0]))), nl=False)


@config.command(cls=OrderedCommand, short_help="Keep a setting in the file.")
@click.argument("words", nargs=-1, metavar="KEY [VALUE]")
@click.pass_context
def set(ctx: click.Context, /, *, words: tuple[str, ...]) -> None:  # noqa: A001 - its name
    """Write a setting to the configuration file, which only its owner may read.

    Without VALUE it is reset. Comments in the file are lost. Of tls-ca-cert-files, write several
    with commas between them.
    """
    settings = Invocation.of(ctx).configuration
    with _usage_errors(ctx):
        if not 0 < len(words) <= 2:  # noqa: PLR2004 - a key and a value
            raise InvalidRequest(_wrong_count("set takes a key, and a value or none", words))
        _assign(settings, _key(settings, words[0]), "".join(words[1:]))


@config.command(cls=OrderedCommand, short_help="Take one setting, or all, from the file.")
@click.argument("words", nargs=-1, metavar="[KEY]")
@click.pass_context
def reset(ctx: click.Context, /, *, words: tuple[str, ...]) -> None:
    """Reset a setting in the configuration file to its default; without KEY, all of them."""
    settings = Invocation.of(ctx).configuration
    with _usage_errors(ctx):
        if len(words) > 1:
            raise InvalidRequest(_wrong_count("reset takes one key, or none", words))
        if words:
            _assign(settings, _key(settings, words[0]), "")
        elif settings.strict:
            for key in sorted(_keys(settings), key=lambda key: key == "port-forward-port"):
                _assign(settings, key, "")
        else:
            _write(settings, dict.fromkeys([*SETTINGS, *FILTER_LISTS]))


@config.command(cls=OrderedCommand, short_help="Show all settings.")
@click.pass_context
def view(ctx: click.Context, /) -> None:
    """Show the value that every setting has, as YAML.

    With --verbose also where each comes from. A password is not shown; palomar config get shows it.
    """
    with _usage_errors(ctx):
        click.echo(_view(Invocation.of(ctx).configuration), nl=False)


@contextmanager
def _usage_errors(ctx: click.Context) -> Iterator[None]:
    """Turn what is wrong into a wrong argument."""
    try:
        yield
    except InvalidRequest as error:
        raise click.UsageError(str(error), ctx) from error


def _wrong_count(what: str, words: tuple[str, ...]) -> str:
    return f"config {what}, not '{' '.join(words)}'"


def _keys(settings: Configuration) -> list[str]:
    """All keys there are, those of the file as well."""
    known = [name for name, setting in SETTINGS.items() if setting.hubble or not settings.strict]
    lists = [] if settings.strict else list(FILTER_LISTS)
    return sorted({"config", *known, *lists, *settings.file_content()})


def _key(settings: Configuration, text: str) -> str:
    """The key that a user means.

    Raises:
        InvalidRequest: There is none of that name.
    """
    key = text if settings.strict else text.lower().replace("_", "-").removeprefix("--")
    if key in _keys(settings):
        if settings.strict and key not in SETTINGS and key != "config":
            raise InvalidRequest(f"key={key} not bound to a flag")
        return key
    if settings.strict:
        raise InvalidRequest(f"unknown key: {text}")
    from difflib import get_close_matches  # noqa: PLC0415 - only for an error

    near = get_close_matches(key, _keys(settings), n=1)
    advice = f"did you mean {near[0]}?" if near else "palomar config view shows all"
    raise InvalidRequest(f"unknown key: {text}; {advice}")


def _value(settings: Configuration, key: str) -> object:
    """The value of one setting, of the type it has."""
    if key == "config":
        return "" if settings.searches else str(settings.file)
    if key in FILTER_LISTS:
        return settings.filter_texts(key)
    readers: dict[Kind, Callable[[str], object]] = {
        Kind.BOOL: settings.boolean,
        Kind.DURATION: lambda name: _duration_text(settings.duration_s(name)),
        Kind.PORT: settings.port,
        Kind.STRING: settings.text,
        Kind.STRINGS: settings.texts,
    }
    setting = SETTINGS.get(key)
    if setting is None or (settings.strict and setting.kind is Kind.PORT):
        return settings.find(key).value
    return readers[setting.kind](key)


def _view(settings: Configuration) -> str:
    values: dict[str, object] = {}
    notes: list[str] = []
    for key in _keys(settings):
        found = settings.find(key)
        if key in FILTER_LISTS and found.value is None:
            continue
        values[key] = _shown(settings, key, found)
        if settings.boolean("verbose") and key != "config":
            notes.append(f"# {key}: {_place(found)}\n")
    return _yaml(values) + "".join(notes)


def _shown(settings: Configuration, key: str, found: Found) -> object:
    setting = SETTINGS.get(key)
    if settings.strict:
        # As it was found: a text from the environment stays one, whatever the setting's type.
        raw = key in SETTINGS and found.origin in {Origin.ENVIRONMENT, Origin.FILE}
        return found.value if raw else _value(settings, key)
    if setting is not None and setting.secret and found.value:
        return _HIDDEN
    return _value(settings, key)


def _place(found: Found) -> str:
    return "default" if found.origin is Origin.DEFAULT else found.where


def _assign(settings: Configuration, key: str, text: str) -> None:
    """Write one setting, or with an empty text its default."""
    setting = SETTINGS.get(key)
    if setting is None:
        if settings.strict:  # only the file's own name is left
            setting = Setting(key, Kind.STRING, str(settings.file_to_write))
        elif key in FILTER_LISTS:
            _write(settings, {key: [text] if text else None})
            return
        elif text or key == "config":
            raise InvalidRequest(f"{key} cannot be set in the file; use --{key}")
        else:
            _write(settings, {key: None})
            return
    if not text and not settings.strict:
        _write(settings, {key: None})
        return
    if setting.kind is Kind.PORT and settings.strict:
        raise InvalidRequest(f"{key} cannot be set by hubble; write it into the file by hand")
    _write(settings, {key: _read(setting, text or setting.default_in(settings.dialect), settings)})


def _read(setting: Setting, text: str, settings: Configuration) -> object:
    """Read a value from the command line.

    Raises:
        InvalidRequest: It is none that the setting takes.
    """
    trial = Configuration(settings.dialect, {setting.name: text})
    if setting.kind is Kind.STRINGS:
        import csv  # noqa: PLC0415 - only here

        inner = text.removeprefix("[").removesuffix("]")
        return next(csv.reader([inner]), []) if inner else []
    if not settings.strict:
        return _value(trial, setting.name)
    if setting.kind is Kind.BOOL:
        from palomar.go_syntax import parse_bool  # noqa: PLC0415 - only in this dialect

        try:
            return parse_bool(text)
        except InvalidRequest as error:
            raise InvalidRequest(_refusal(setting, text, str(error))) from error
    if setting.kind is Kind.DURATION:
        return _strict_duration(setting, text)
    return text


def _strict_duration(setting: Setting, text: str) -> str:
    """Read a duration as `hubble config set` does: without any unit it is nanoseconds."""
    from palomar.duration_errors import duration_error  # noqa: PLC0415 - only in this dialect
    from palomar.timestamps import duration_ns  # noqa: PLC0415 - likewise

    written = text if {*text} & {*"nsuµmh"} else f"{text}ns"
    read_ns = duration_ns(written)
    if read_ns is None:
        raise InvalidRequest(_refusal(setting, text, duration_error(written)))
    return _duration_text(read_ns / 1e9)


def _refusal(setting: Setting, text: str, reason: str) -> str:
    kind = setting.kind.value
    return f"{text!r} is no {kind}, which {setting.name} takes: {reason}"


def _duration_text(duration_s: float) -> str:
    from palomar.durations import duration_text  # noqa: PLC0415 - only here

    duration_ns = round(duration_s * 1e9)
    return f"-{duration_text(-duration_ns)}" if duration_ns < 0 else duration_text(duration_ns)


def _write(settings: Configuration, changes: dict[str, object]) -> None:
    """Change settings of the file; `None` takes one away."""
    from palomar.configuration_file import read_file, write_file  # noqa: PLC0415 - loads YAML

    path = settings.file_to_write
    if settings.searches:
        raise InvalidRequest("--config names no file to write to; leave it out, or name one")
    if settings.strict and path.suffix not in _SUFFIXES:
        raise InvalidRequest(f"{path} is not written, since its name does not end in .yaml or .yml")
    content: dict[str, object] = read_file(path) if path.exists() else {}
    content.update(changes)
    kept = {key: value for key, value in content.items() if value is not None}
    if kept or path.exists():
        write_file(path, kept)


def _yaml(value: object) -> str:
    from palomar.configuration_file import settings_text  # noqa: PLC0415 - loads YAML

    return settings_text(value)
