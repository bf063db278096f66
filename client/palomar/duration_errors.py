"""Why a text is no duration, in the words of Go's `time.ParseDuration`.

In: text that `timestamps.duration_ns` did not take. Out: the message. Used in the dialect of
`hubble`, whose scripts may look for it.
"""

import re

from palomar.go_syntax import quote

_NUMBER = re.compile(r"[0-9]*(?:\.[0-9]*)?", re.ASCII)
_UNIT = re.compile(r"[^.0-9]*", re.ASCII)
_UNITS = frozenset({"ns", "us", "µs", "μs", "ms", "s", "m", "h"})


def duration_error(text: str) -> str:
    """Say what is wrong with a duration."""
    shown = quote(text)
    rest = text[1:] if text[:1] in {"-", "+"} else text
    while rest:
        number = _NUMBER.match(rest)
        if number is None or not number[0].strip("."):
            break
        rest = rest[number.end() :]
        unit = _UNIT.match(rest)
        if unit is None or not unit[0]:
            return f"time: missing unit in duration {shown}"
        if unit[0] not in _UNITS:
            return f"time: unknown unit {quote(unit[0])} in duration {shown}"
        rest = rest[unit.end() :]
    return f"time: invalid duration {shown}"
