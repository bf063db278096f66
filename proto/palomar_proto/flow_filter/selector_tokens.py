"""The words and signs of a label selector.

Kubernetes' selectors know no sources of labels, so keys are first written `source.key`, and those
without a source `any.key`: only then are the tokens read. Both steps are Hubble's, so that what is
a selector and what is not comes out the same.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from palomar_proto.flow_filter.spaces import GO_SPACES

IDENTIFIER = "identifier"
END = "end"

# A NUL ends a word; at the start of one it is the end of all.
_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])\x00?|([^=!(),<> \t\r\n\x00]+)\x00?)")
_KEYWORDS = ("in", "notin")
_BEFORE_KEY = re.compile(f"[!{GO_SPACES}]*")
_KEY = re.compile(f"[^=!,{GO_SPACES}]*")


class Token(NamedTuple):
    """A word or a sign."""

    kind: str
    """IDENTIFIER, END, or the sign or keyword itself."""
    text: str
    """As it was written; empty for the end."""


def tokens(selector: str) -> list[Token]:
    """The tokens of a selector; the last is the END."""
    text = with_sources(selector)
    found: list[Token] = []
    at = 0
    while match := _TOKEN.match(text, at):
        at = match.end()
        sign, word = match.groups()
        if sign is not None:
            found.append(Token(sign, sign))
        else:
            found.append(Token(word if word in _KEYWORDS else IDENTIFIER, word))
    found.append(Token(END, ""))
    return found


def with_sources(selector: str) -> str:
    """The selector with the sources of keys written with a dot: `any.` where there is none."""
    written: list[str] = []
    at = 0
    while at < len(selector):
        start = _end(_BEFORE_KEY, selector, at)
        stop = _end(_KEY, selector, start)
        key = selector[start:stop]
        written += [
            selector[at:start],
            key.replace(":", ".", 1) if ":" in key else f"any.{key}",
        ]
        at = _next_requirement(selector, stop)
        written.append(selector[stop:at])
    return "".join(written)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _next_requirement(selector: str, at: int) -> int:
    """Behind the next comma outside of parentheses."""
    depth = 0
    for index in range(at, len(selector)):
        character = selector[index]
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            return index + 1
    return len(selector)
