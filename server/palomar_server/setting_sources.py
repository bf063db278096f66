"""Where settings may stand: flags, environment, a YAML file; in this order of precedence.

Out comes `Settings`, or one error with a line for each wrong value. Called by the command line.
"""

import os
import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from palomar_server.settings import Settings, SettingsError
from palomar_server.yaml_file import YamlFileError, read_yaml_mapping

ENV_PREFIX = "PALOMARD_"
DEFAULT_CONFIG = Path("/etc/palomar/palomard.yaml")
"""The settings file that is read, where it exists, when none is named."""
_NOT_MADE = "default_factory_not_called"
_CONFIG_BYTES_MAX = 1 << 20


def load_settings(
    flags: Mapping[str, object],
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from all places where they may stand.

    An empty variable counts as not given. Variables that have the prefix but name no setting are
    passed over:
    Kubernetes makes PALOMARD_SERVICE_HOST and the like beside a service of that name.

    Args:
        flags: field name -> value of those given on the command line; None and () mean not given.
        config: the settings file; None for `DEFAULT_CONFIG`, if it exists.
        environment: variables by name; os.environ unless told otherwise.

    Raises:
        SettingsError: a value is not allowed, a name unknown, or the file cannot be read.
    """
    path = DEFAULT_CONFIG if config is None else config
    variables = os.environ if environment is None else environment
    try:
        is_read = config is not None or path.exists()
        in_file = read_yaml_mapping(path, max_bytes=_CONFIG_BYTES_MAX) if is_read else {}
    except YamlFileError as error:
        raise SettingsError(str(error)) from error
    in_environment = {
        name: variables[env_name(name)]
        for name in Settings.model_fields
        if variables.get(env_name(name))
    }
    on_command_line = {name: value for name, value in flags.items() if value not in (None, ())}
    sources = {
        **dict.fromkeys(in_file, f"file {path}"),
        **{name: f"environment {env_name(name)}" for name in in_environment},
        **{name: f"flag {flag_name(name)}" for name in on_command_line},
    }
    try:
        return Settings(**{**in_file, **in_environment, **on_command_line})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        # A default that depends on another value cannot be made beside a fault: that one is told.
        lines = [_line(fault, sources) for fault in faults if fault["type"] != _NOT_MADE]
        raise SettingsError(*lines) from error


def flag_name(field: str) -> str:
    """The flag of a field on the command line."""
    return "--" + field.replace("_", "-")


def env_name(field: str) -> str:
    """The variable of a field in the environment."""
    return ENV_PREFIX + field.upper()


def _line(fault: ErrorDetails, sources: Mapping[str, str]) -> str:
    """One fault as text: name, value, where it came from, what is allowed."""
    allowed = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return allowed
    name, *inside = map(str, fault["loc"])
    where = name + "".join(f"[{part}]" for part in inside)
    source = sources.get(name, "default")
    if fault["type"] == "extra_forbidden":
        close = get_close_matches(name, Settings.model_fields, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{where} (from {source}): there is no such setting{hint}"
    given = fault["input"]
    allowed = allowed[:1].lower() + allowed[1:]
    if not Settings.model_fields[name].repr:
        return f"{where} (from {source}), whose value is not shown: {allowed}"
    value = reprlib.repr(str(given) if isinstance(given, Path) else given)
    return f"{where} is {value} (from {source}): {allowed}"
