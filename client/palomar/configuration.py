"""The settings of the command line, and where each has its value from.

    flag, else --view, else PALOMAR_* in the environment, else HUBBLE_*, else the file, else default

In: what the flags said. Out: values of the type each setting has. `SETTINGS` is the table: flags
are made from it (`commands.server_options`), the names in the environment, and the keys of the
file, which `configuration_file` reads and writes. In the dialect of `hubble` everything is looked
for where that command looks, and a value that means nothing is taken as it takes it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.go_syntax import FALSE, TRUE
from palomar.target import DEFAULT_SERVER
from palomar.timestamps import SECOND_NS, duration_ns

HUBBLE_SERVER = "localhost:4245"
"""Where `hubble` expects a server when nothing is said."""

PREFIXES = ("PALOMAR_", "HUBBLE_")
"""What names in the environment begin with; the first that is there counts."""

_WORDS = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}


class Kind(Enum):
    """What values a setting takes, by the names that `hubble config` has for them."""

    BOOL = "bool"
    DURATION = "duration"
    PORT = "uint16"
    STRING = "string"
    STRINGS = "stringSlice"


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: As the flag is called without its dashes, and the key of the file.
        kind: What it takes.
        default: As text; of a list, empty.
        hubble: Whether `hubble` has it as well.
        secret: Whether `palomar config view` keeps the value to itself.
    """

    name: str
    kind: Kind
    default: str = ""
    hubble: bool = True
    secret: bool = False

    def default_in(self, dialect: Dialect) -> str:
        """The default, which for the server is another in the dialect of `hubble`."""
        if self.name == "server" and dialect is Dialect.HUBBLE:
            return HUBBLE_SERVER
        return self.default


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("basic-auth-password", Kind.STRING, secret=True),
        Setting("basic-auth-username", Kind.STRING),
        Setting("bearer-token-file", Kind.STRING, hubble=False),
        Setting("debug", Kind.BOOL, "false"),
        Setting("kube-context", Kind.STRING),
        Setting("kube-namespace", Kind.STRING, "kube-system"),
        Setting("kubeconfig", Kind.STRING),
        Setting("port-forward", Kind.BOOL, "false"),
        Setting("port-forward-port", Kind.PORT, "4245"),
        Setting("request-timeout", Kind.DURATION, "12s"),
        Setting("server", Kind.STRING, DEFAULT_SERVER),
        Setting("timeout", Kind.DURATION, "5s"),
        Setting("tls", Kind.BOOL, "false"),
        Setting("tls-allow-insecure", Kind.BOOL, "false"),
        Setting("tls-ca-cert-files", Kind.STRINGS),
        Setting("tls-client-cert-file", Kind.STRING),
        Setting("tls-client-key-file", Kind.STRING),
        Setting("tls-server-name", Kind.STRING),
        Setting("verbose", Kind.BOOL, "false", hubble=False),
    )
}
"""Every setting by name. `config` and `view`, which say where to read the others, are none."""

FILTER_LISTS = ("allowlist", "denylist")
"""What a file, a view or the environment may hold besides: filters as JSON."""


class Origin(Enum):
    """Where a value comes from, the strongest first."""

    FLAG = "flag"
    VIEW = "view"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class Found(NamedTuple):
    """A value as it was found.

    Attributes:
        value: Text, or what YAML made of it.
        origin: What it was found in.
        where: How messages name the place, such as `PALOMAR_SERVER`.
    """

    value: object
    origin: Origin
    where: str


@dataclass
class Configuration:
    """The settings of one run.

    Attributes:
        dialect: Whose files and habits to follow.
        flags: Values that flags gave, by setting; also `config` and `view`.
    """

    dialect: Dialect = Dialect.PALOMAR
    flags: dict[str, object] = field(default_factory=dict)
    _contents: dict[Path, Mapping[str, object]] = field(default_factory=dict, repr=False)

    @property
    def strict(self) -> bool:
        """Whether to do exactly as `hubble` does."""
        return self.dialect is Dialect.HUBBLE

    @property
    def chosen_file(self) -> str:
        """The configuration file that a flag or the environment names; empty if none does."""
        return str(self.flags.get("config") or _environment("config")[0])

    @property
    def file(self) -> Path:
        """The configuration file that is read, whether or not it is there."""
        if self.chosen_file:
            return Path(self.chosen_file)
        places = self._usual_files()
        if self.searches:
            places = [Path("config.yaml"), *places, Path.home() / ".hubble" / "config.yaml"]
        return next((path for path in places if os.access(path, os.F_OK)), places[0])

    @property
    def searches(self) -> bool:
        """Whether a flag says that `hubble` is to look for its file itself."""
        return self.strict and self.flags.get("config") == ""

    @property
    def file_to_write(self) -> Path:
        """The configuration file that `palomar config set` changes.

        Never that of `hubble`, unless in its dialect or if it was named.
        """
        return Path(self.chosen_file) if self.chosen_file else self._usual_files()[0]

    def view_file(self, name: str) -> Path:
        """The file of a saved view.

        Raises:
            InvalidRequest: The name could be one of another folder.
        """
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name[0] == ".":
            raise InvalidRequest(
                f"view {name!r} is no name; write it with letters, digits, - and _"
            )
        return configuration_folder("palomar") / "views" / f"{name}.yaml"

    def find(self, name: str) -> Found:
        """Look a value up.

        Args:
            name: Of the setting, or another key of the file.

        Raises:
            InvalidRequest: A file that was asked for cannot be read.
        """
        if self.flags.get(name) is not None:
            return Found(self.flags[name], Origin.FLAG, f"--{name}")
        view = str(self.flags.get("view") or "")
        if view and name in (content := self._content(self.view_file(view), needed=True)):
            return Found(content[name], Origin.VIEW, f"{name} of view {view}")
        text, variable = _environment(name)
        if variable:
            return Found(text, Origin.ENVIRONMENT, variable)
        if name in (content := self.file_content()):
            return Found(content[name], Origin.FILE, f"{name} of {self.file}")
        setting = SETTINGS.get(name)
        default: object = setting.default_in(self.dialect) if setting else None
        return Found(default, Origin.DEFAULT, name)

    def file_content(self) -> Mapping[str, object]:
        """What the configuration file says; nothing where there is none.

        Raises:
            InvalidRequest: It cannot be read, or was asked for and is not there; in the dialect of
                `hubble` that is the same as an empty one.
        """
        return self._content(self.file, needed=bool(self.chosen_file))

    def text(self, name: str) -> str:
        """The value of a setting that is text."""
        value = self.find(name).value
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    def boolean(self, name: str) -> bool:
        """The value of a setting that is on or off.

        Raises:
            InvalidRequest: It is neither.
        """
        found = self.find(name)
        if isinstance(found.value, bool):
            return found.value
        text = str(found.value)
        read = parse_bool(text)
        if read is None and not self.strict:
            read = _WORDS.get(text.strip().lower())
        if read is None and not self.strict:
            raise InvalidRequest(f"{found.where}: {found.value!r} is neither true nor false")
        return bool(read)

    def duration_s(self, name: str) -> float:
        """The value of a setting that is a span of time, in seconds.

        Raises:
            InvalidRequest: It is none, or not more than 0.
        """
        found = self.find(name)
        text = str(found.value)
        # Plain numbers are nanoseconds to `hubble`, which nobody means: only it reads them so.
        read_ns = int(text) if self.strict and text.isdecimal() else duration_ns(text)
        if self.strict:
            return (read_ns or 0) / SECOND_NS
        if read_ns is None or read_ns <= 0:
            raise InvalidRequest(
                f"{found.where}: {text!r} is not a duration; write it like 5s or 1m30s"
            )
        return read_ns / SECOND_NS

    def port(self, name: str) -> int:
        """The value of a setting that is a port, or 0 for any.

        Raises:
            InvalidRequest: It is none.
        """
        found = self.find(name)
        text = str(found.value)
        if not (text.isascii() and text.isdecimal()) or int(text) > 65535:  # noqa: PLR2004 - 16 bits
            raise InvalidRequest(f"{found.where}: {text!r} is no port from 0 to 65535")
        return int(text)

    def texts(self, name: str) -> list[str]:
        """The value of a setting that is a list of texts."""
        found = self.find(name)
        if isinstance(found.value, list | tuple):
            return [_item_text(item) for item in found.value]
        if found.value is None:
            return []
        text = str(found.value)
        return text.split() if self.strict else [part for part in text.split(",") if part]

    def filter_texts(self, name: str) -> list[str]:
        """The JSON texts of `allowlist` or `denylist` from outside the command line."""
        found = self.find(name)
        if self.strict and not isinstance(found.value, str):
            return _hubble_texts(found.value)
        if isinstance(found.value, list | tuple):
            return [_item_text(item) for item in found.value]
        if found.value is None:
            return []
        # One text may hold several filters. `hubble` takes it apart at spaces, even within one.
        return str(found.value).split() if self.strict else [_item_text(found.value)]

    def _usual_files(self) -> list[Path]:
        hubble = configuration_folder("hubble") / "config.yaml"
        if self.strict:
            return [hubble]
        return [
            configuration_folder("palomar") / "config.yaml",
            Path.home() / ".palomar" / "config.yaml",
            hubble,
        ]

    def _content(self, path: Path, *, needed: bool) -> Mapping[str, object]:
        if path not in self._contents:
            self._contents[path] = self._read(path, needed=needed)
        return self._contents[path]

    def _read(self, path: Path, *, needed: bool) -> Mapping[str, object]:
        if not needed and not os.access(path, os.F_OK):
            return {}
        from palomar.configuration_file import read_file  # noqa: PLC0415 - loads YAML; most have no file

        try:
            return read_file(path)
        except InvalidRequest:
            if self.strict:
                return {}
            raise


def configuration_folder(program: str) -> Path:
    """Where a program's configuration is: below `$XDG_CONFIG_HOME`, else `~/.config`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / program


def parse_bool(text: str) -> bool | None:
    """Read what Go takes for true or false; `None` for anything else."""
    return True if text in TRUE else False if text in FALSE else None


def _environment(name: str) -> tuple[str, str]:
    """What the environment has for a setting, and in which variable; an empty one says nothing."""
    for prefix in PREFIXES:
        variable = prefix + name.upper().replace("-", "_")
        if text := os.environ.get(variable):
            return text, variable
    return "", ""


def _hubble_texts(value: object) -> list[str]:
    """Read texts as `hubble` does from YAML: what is no plain value means none."""
    items = value if isinstance(value, list | tuple) else [value]
    plain = [item for item in items if isinstance(item, str | int | float)]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in plain]


def _item_text(item: object) -> str:
    """A filter as JSON, which in YAML may also be written as a mapping."""
    if isinstance(item, str):
        return item
    import json  # noqa: PLC0415 - only for filters written in YAML

    return json.dumps(item, ensure_ascii=False)
