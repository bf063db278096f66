"""Numbers, booleans and quotes as programs written in Go read and write them.

Scripts made for `hubble` rely on what its flags take: `--all=T`, `--last 0x10`. In: text. Out: a
value, or InvalidRequest with the words that Go's strconv has for it. Used where the dialect is
that of `hubble`; the rules are those of Go's documentation of ParseBool, ParseUint and Quote.
"""

import re

from palomar.errors import InvalidRequest

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
"""What ParseBool reads."""

_PREFIXED = re.compile(
    r"(?:0[xX](?P<x>(?:_?[0-9a-fA-F])+)|0[bB](?P<b>(?:_?[01])+)|0[oO]?(?P<o>(?:_?[0-7])+)"
    r"|(?P<d>[1-9](?:_?[0-9])*|0))",
    re.ASCII,
)
_DECIMAL = re.compile(r"(?P<d>[0-9]+)", re.ASCII)
_BASES = {"x": 16, "b": 2, "o": 8, "d": 10}
_DIGITS_MAX = 400  # no number of 64 bits is longer, whatever zeros lead it; int() has a limit too

_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
    "\t": "\\t", "\v": "\\v",
}  # fmt: skip
_ASCII_MAX = 0x7F
_TWO_BYTES_MAX = 0xFFFF
_LONE_BYTES = range(0xDC80, 0xDD00)  # how Python carries bytes of an argument that are not UTF-8


def quote(text: str) -> str:
    """Put text in double quotes, what cannot be printed written out."""
    return f'"{"".join([_ESCAPES.get(c) or (c if c.isprintable() else _code(c)) for c in text])}"'


def parse_bool(text: str) -> bool:
    """Read a boolean: 1, t, true, 0, f, false, also as `True` and `TRUE`.

    Raises:
        InvalidRequest: It is anything else.
    """
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise InvalidRequest(f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")


def parse_uint(text: str, *, bits: int = 64, prefixes: bool = False) -> int:
    """Read a number that is not negative.

    Args:
        text: What was given.
        bits: How large it may be.
        prefixes: Whether `0x`, `0o`, `0b`, a leading 0 (octal) and `_` between digits mean
            something, as they do to flags that take a number.

    Raises:
        InvalidRequest: It is no number, or too large.
    """
    match = (_PREFIXED if prefixes else _DECIMAL).fullmatch(text)
    if match is None:
        raise InvalidRequest(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    kind = match.lastgroup or "d"
    digits = match[kind].replace("_", "")
    number = int(digits, _BASES[kind]) if len(digits) <= _DIGITS_MAX else 1 << bits
    if number >> bits:
        raise InvalidRequest(f"strconv.ParseUint: parsing {quote(text)}: value out of range")
    return number


def _code(character: str) -> str:
    code = ord(character)
    if code in _LONE_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code <= _ASCII_MAX:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _TWO_BYTES_MAX else f"\\U{code:08x}"
