"""Whose habits the command line follows: its own, or exactly those of the `hubble` command.

`--strict-hubble`, or PALOMAR_STRICT_HUBBLE=1 in the environment, is for scripts that were written
for `hubble`: the same defaults, the same reading of arguments, the same requests, the same exit
codes. Where the two differ, code asks the dialect of its `Invocation`.
"""

from enum import Enum


class Dialect(Enum):
    """How arguments are read, and what is done where they say nothing."""

    PALOMAR = "palomar"
    """Forgiving: any case, short forms, pods of any namespace, hints, batches where there are
    any."""
    HUBBLE = "hubble"
    """As hubble 1.19 does, except for what would be unsafe."""
