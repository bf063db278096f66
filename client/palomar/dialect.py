"""Whose habits the command line follows: its own, or exactly those of the `hubble` command.

`--strict-hubble`, or PALOMAR_STRICT_HUBBLE=1 in the environment, is for scripts that were written
for `hubble`: the same defaults, the same reading of arguments, the same requests, the same exit
codes. Where the two differ, code asks the dialect of its `Invocation`.
"""

import os
from collections.abc import Sequence
from enum import Enum

STRICT_VARIABLE = "PALOMAR_STRICT_HUBBLE"
"""Environment variable that chooses the dialect where no flag does."""

STRICT_FLAG = "--strict-hubble"

_OFF = frozenset({"", "0", "f", "false", "n", "no", "off"})


class Dialect(Enum):
    """How arguments are read, and what is done where they say nothing."""

    PALOMAR = "palomar"
    """Forgiving: any case, short forms, pods of any namespace, hints, batches where there are
    any."""
    HUBBLE = "hubble"
    """As hubble 1.19 does, except for what would be unsafe."""


def environment_dialect() -> Dialect:
    """The dialect that the environment asks for."""
    asked = os.environ.get(STRICT_VARIABLE, "").strip().lower() not in _OFF
    return Dialect.HUBBLE if asked else Dialect.PALOMAR


def spoken_dialect(arguments: Sequence[str]) -> Dialect:
    """The dialect of a command line, which must be known before the line can be read.

    Args:
        arguments: All of them; the flag may stand before or behind the command. The last one
            counts, and none behind `--`.
    """
    dialect = environment_dialect()
    for argument in arguments:
        if argument == "--":
            break
        name, _, value = argument.partition("=")
        if name == STRICT_FLAG:
            dialect = (
                Dialect.PALOMAR if argument != name and value.lower() in _OFF else Dialect.HUBBLE
            )
    return dialect
