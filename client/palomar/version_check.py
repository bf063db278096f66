"""Whether the server is newer than what this client understands.

Servers name the Hubble release whose API they serve in the headers of their answers; a relay
names its own as well. In: a `ServerVersion`. Out: a warning for each whose major or minor number
is above ours, since then flows may have fields that are not shown. Patch releases change no API.

The reading of versions is the lenient one of Hubble's command line (`v1.20`, ` 1.20.0 `), and
what is no version is passed over: it says nothing, and there may be many kinds of servers.
"""

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from palomar.server_version import ServerVersion
from palomar.version import API_VERSION

if TYPE_CHECKING:
    from palomar.client import Client

_OURS = tuple(map(int, API_VERSION.split(".")))

_NUMBER_MAX = 2**64 - 1
_SHORTEST_PARTS = 3
# https://semver.org, which lets no number but 0 begin with a zero.
_SEMVER = re.compile(
    r"(?P<major>0|[1-9]\d{0,19})\.(?P<minor>0|[1-9]\d{0,19})\.(?P<patch>0|[1-9]\d{0,19})"
    r"(?:-(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class SemanticVersion:
    """A version as of semver.org.

    Attributes:
        major: The first number.
        minor: The second.
        text: All of it, without a leading `v` or zeros.
    """

    major: int
    minor: int
    text: str

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a version leniently; `None` if it is none."""
        parts = [_without_zeros(part) for part in text.strip().removeprefix("v").split(".", 2)]
        if len(parts) < _SHORTEST_PARTS:
            if set(parts[-1]) & {"+", "-"}:
                return None
            parts += ["0"] * (_SHORTEST_PARTS - len(parts))
        found = _SEMVER.fullmatch(".".join(parts))
        if found is None or any(int(found[n]) > _NUMBER_MAX for n in ("major", "minor", "patch")):
            return None
        return cls(int(found["major"]), int(found["minor"]), found[0])

    @property
    def is_newer(self) -> bool:
        """Whether its API may hold what ours does not."""
        return (self.major, self.minor) > _OURS


def version_warnings(said: ServerVersion | None) -> list[str]:
    """Say who of those that answered is newer than this client.

    Args:
        said: What they said about their versions, if anything.

    Returns:
        A line for each, without a line end; most often none.
    """
    if said is None:
        return []
    lines = []
    for kind, text in (("relay", said.relay), ("server", said.node)):
        version = SemanticVersion.read(text or "")
        if version is not None and version.is_newer:
            lines.append(_warning(kind, version))
    return lines


def warn_of_newer_server(client: "Client") -> None:
    """Put the warnings about what the client talks to on standard error.

    To be called once in a run, when the first answer is there: before, nobody said anything.
    """
    for line in version_warnings(client.server_version):
        print(line, file=sys.stderr)  # noqa: T201 - this is the command line's voice


def _warning(kind: str, version: SemanticVersion) -> str:
    return (
        f"palomar: the {kind} serves the API of Hubble {version.major}.{version.minor}, and this "
        f"palomar knows {API_VERSION}: what is new there is not shown; update palomar"
    )


def _without_zeros(part: str) -> str:
    if len(part) <= 1:
        return part
    stripped = part.lstrip("0")
    return stripped if stripped[:1].isdigit() else f"0{stripped}"
