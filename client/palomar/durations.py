"""Spans of time as text, the way Go writes them: `1h43m0s`, `7.01s`, `250ms`.

In: nanoseconds. Out: text that `timestamps.duration_ns` reads back. Used where the command line
shows how long a server has been up.
"""

_UNITS = (("µs", 1_000), ("ms", 1_000_000))
_SECOND_NS = 1_000_000_000
_MINUTE_S = 60
_HOUR_S = 3600

NS_MAX = 2**63 - 1
"""The longest duration there is in Go, some 292 years. More is no duration, but a mistake."""


def duration_text(duration_ns: int) -> str:
    """Write a duration of no less than 0 with the units it needs, and no digits it does not.

    A number above `NS_MAX` is written in plain nanoseconds, as Hubble does.
    """
    if duration_ns > NS_MAX:
        return f"{duration_ns}ns"
    if duration_ns < _SECOND_NS:
        return _below_a_second(duration_ns)
    seconds, nanos = divmod(duration_ns, _SECOND_NS)
    minutes, second = divmod(seconds, _MINUTE_S)
    text = f"{second}{_fraction(nanos, 9)}s"
    if seconds >= _MINUTE_S:
        text = f"{minutes % _MINUTE_S}m{text}"
    if seconds >= _HOUR_S:
        text = f"{seconds // _HOUR_S}h{text}"
    return text


def _below_a_second(duration_ns: int) -> str:
    if not duration_ns:
        return "0s"
    text = f"{duration_ns}ns"
    for name, unit_ns in _UNITS:
        if duration_ns >= unit_ns:
            whole, rest = divmod(duration_ns, unit_ns)
            text = f"{whole}{_fraction(rest, len(str(unit_ns)) - 1)}{name}"
    return text


def _fraction(part: int, digits: int) -> str:
    return f".{part:0{digits}d}".rstrip("0") if part else ""
