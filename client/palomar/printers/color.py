"""The colours of the human formats, and when to use them.

In: the `--color` choice and the stream. Out: a `Palette` whose members are the control sequences
(ECMA-48 SGR) to put before a part, all empty where colours are off, so that a printer needs one
code path. The colours are Hubble's. Used by the flow columns.
"""

import os
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Palette:
    """Control sequences by what they mark; `end` closes each of them."""

    host: str = ""
    port: str = ""
    identity: str = ""
    good: str = ""
    bad: str = ""
    notable: str = ""
    end: str = ""


PLAIN = Palette()
COLORED = Palette(
    host="\x1b[36m",
    port="\x1b[33m",
    identity="\x1b[35m",
    good="\x1b[32m",
    bad="\x1b[31m",
    notable="\x1b[33m",
    end="\x1b[0m",
)


def choose_palette(choice: str, stream: TextIO) -> Palette:
    """Pick the palette for a `--color` choice.

    Args:
        choice: `always`, `never`, or anything else for automatic: colours on a terminal, unless
            NO_COLOR is set (https://no-color.org) or the terminal is dumb.
        stream: Where the text goes.
    """
    choice = choice.lower()
    if choice == "always":
        return COLORED
    if choice == "never" or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return PLAIN
    return COLORED if stream.isatty() else PLAIN
