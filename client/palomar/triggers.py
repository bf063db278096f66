"""Triggers of recordings as text in, flow filters out: `verdict=drop,pod=web`.

The words are filter flags of the command line without their dashes, and all of them must match;
commas in brackets, as in `label=app in (a, b)`, belong to the value. Does no I/O.
"""

from collections.abc import Iterator

from palomar.errors import InvalidRequest
from palomar.filter_builder import Messages
from palomar.filter_flags import FILTER_KEYS
from palomar.flag_filters import NEGATED, NOT, split_flags


def parse_trigger(text: str) -> Messages:
    """Read a trigger.

    Raises:
        InvalidRequest: There is no such filter, a value means nothing, or something is left out,
            which a trigger cannot do.
    """
    flags = []
    for part in _parts(text):
        name, equals, value = part.partition("=")
        name = name.strip().removeprefix("--").lower()
        key = FILTER_KEYS.get(name)
        if name == NOT or name.startswith(NEGATED):
            raise InvalidRequest(
                f"{part!r} in trigger {text!r} leaves something out, which a trigger cannot; say "
                "what is to be there"
            )
        if key is None:
            raise InvalidRequest(
                f"there is no filter {name!r}, as trigger {text!r} has it; write it like "
                "verdict=drop,pod=web"
            )
        if key.metavar and not equals:
            raise InvalidRequest(
                f"{part!r} in trigger {text!r} has no value; write it like {name}={key.metavar}"
            )
        flags.append((name, value.strip()))
    if not flags:
        raise InvalidRequest(f"trigger {text!r} names no filter; write it like verdict=drop")
    allow, _ = split_flags(flags)
    return allow


def _parts(text: str) -> Iterator[str]:
    """Cut at the commas that stand in no brackets."""
    depth, begin = 0, 0
    for place, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth <= 0:
            yield from _stripped(text[begin:place])
            begin = place + 1
    yield from _stripped(text[begin:])


def _stripped(part: str) -> Iterator[str]:
    if part.strip():
        yield part.strip()
