"""The configuration file: YAML in, settings out, and back.

Apart from `configuration` because loading YAML takes longer than most commands run, and few have a
file. What is written looks as `hubble config` writes it: sorted, lists indented, only keys that
were set. A file may hold a password, so that only its owner may read what is written here.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from palomar.errors import InvalidRequest

_FILE_BYTES_MAX = 1024 * 1024
"""Far above what a person writes; a wrong path must not fill the memory."""

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700

_BOOL_TAG = "tag:yaml.org,2002:bool"
_STRING_TAG = "tag:yaml.org,2002:str"
# Words that only YAML 1.1 takes for something else than text: quoted, so that every reader agrees.
_WORDS_OF_OLD = re.compile(r"y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF")
# What only YAML 1.2 takes for a number.
_NEW_NUMBERS = re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0o[0-7]+", re.ASCII)


class _Loader(yaml.SafeLoader):
    """Takes only `true` and `false` for booleans, as YAML 1.2 does."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL_TAG]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _BOOL_TAG, re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")
)


class _Dumper(yaml.SafeDumper):
    """Writes as Go's YAML does: lists indented, texts quoted only where they must be."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - as called by YAML
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    resolved = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    ambiguous = (
        resolved != _STRING_TAG or _WORDS_OF_OLD.fullmatch(text) or _NEW_NUMBERS.fullmatch(text)
    )
    if ambiguous:
        return dumper.represent_scalar(_STRING_TAG, text, style='"')
    return dumper.represent_scalar(_STRING_TAG, text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text_node)


def read_file(path: Path) -> dict[str, object]:
    """Read a configuration file, or a saved view, which looks the same.

    Returns:
        Its settings; keys in lower case.

    Raises:
        InvalidRequest: It is not there, cannot be read, or is no YAML of settings.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidRequest(
            f"cannot read the configuration file {path}: {error.strerror or error}"
        ) from error
    if len(content) > _FILE_BYTES_MAX:
        raise InvalidRequest(
            f"the configuration file {path} is longer than {_FILE_BYTES_MAX} bytes; is it the "
            "right one?"
        )
    try:
        settings = yaml.load(content, _Loader)  # noqa: S506 - made from the safe one
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise InvalidRequest(f"the configuration file {path} is no YAML{where}; mend it") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise InvalidRequest(
            f"the configuration file {path} holds no settings; write them like "
            "'server: localhost:4245'"
        )
    return {str(key).lower(): value for key, value in settings.items()}


def write_file(path: Path, settings: Mapping[str, object]) -> None:
    """Write a configuration file in place of what is there, all of it or nothing.

    Raises:
        InvalidRequest: It cannot be written.
    """
    path = path.resolve()  # a link stays one
    temporary = ""
    try:
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(settings_text(settings))
        Path(temporary).chmod(_FILE_MODE)
        Path(temporary).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(temporary).unlink()
        raise InvalidRequest(
            f"cannot write the configuration file {path}: {error.strerror or error}"
        ) from error


def settings_text(value: object) -> str:
    """Write settings, or a single value, as YAML."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, indent=4, width=_FILE_BYTES_MAX, allow_unicode=True, sort_keys=True
    )
    # Behind a bare value PyYAML marks the end of the document, which nobody needs.
    return text.removesuffix("...\n")
