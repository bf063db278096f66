"""Command-line options and the documentation's table of settings, both made from `Settings`.

In: the fields, types and docstrings of `settings.Settings`. Out: click options, or Markdown. Values
are checked by `Settings` alone; click only parts them.
"""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BeforeValidator

from palomar_server.setting_sources import DEFAULT_CONFIG, env_name, flag_name
from palomar_server.settings import DEFAULT_TEXT, Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def options() -> list[click.Option]:
    """--config, and one flag for each setting; their values are what `load_settings` takes."""
    config = click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"YAML file of settings. [default: {DEFAULT_CONFIG} if it exists]",
    )
    return [config, *(_option(name, field) for name, field in Settings.model_fields.items())]


def settings_table() -> str:
    """All settings as a Markdown table, in the order of their declaration."""
    rows = ["| setting | flag | environment | default | meaning |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        flag = "/".join(f"`{each}`" for each in _flags(name, field))
        meaning = _docstring(field).replace("|", "\\|")
        default = default_text(field).replace("|", "\\|")
        rows.append(f"| `{name}` | {flag} | `{env_name(name)}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def default_text(field: FieldInfo) -> str:
    """A default as one would write it on the command line; "none" if there is none."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and DEFAULT_TEXT in extra:
        return str(extra[DEFAULT_TEXT])
    if field.default in (None, ()):
        return "none"
    if isinstance(field.default, tuple):
        return ",".join(map(str, field.default))
    return str(field.default)


def _option(name: str, field: FieldInfo) -> click.Option:
    flags = _flags(name, field)
    gist = _SENTENCE_END.split(_docstring(field))[0]
    # No click default and no click envvar: `load_settings` decides which of all sources counts.
    return click.Option(
        ["/".join(flags), name],
        type=None if len(flags) > 1 else _click_type(field),
        multiple=get_origin(field.annotation) is tuple,
        default=None,
        help=f"{gist} [{env_name(name)}; default: {default_text(field)}]",
    )


def _flags(name: str, field: FieldInfo) -> tuple[str, ...]:
    flag = flag_name(name)
    return (flag, f"--no-{flag[2:]}") if field.annotation is bool else (flag,)


def _docstring(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _click_type(field: FieldInfo) -> Any:
    """What click shows in --help, and makes of the text where no validator wants it as it is."""
    if any(isinstance(each, BeforeValidator) for each in field.metadata):
        return click.STRING
    annotation = field.annotation
    if get_origin(annotation) in (types.UnionType, Union):
        annotation = next(each for each in get_args(annotation) if each is not types.NoneType)
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    if annotation is Path:
        return click.Path(path_type=Path)
    if annotation is int:
        return click.INT
    return click.FLOAT if annotation is float else click.STRING
