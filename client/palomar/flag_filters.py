"""Filter flags, in the order they were given, in; what to let pass and what to leave out of it out.

`filter_flags` says which flags there are, `filter_builder` how they become messages; here is what
the words between them mean: `--not`, `--not-NAME`, and a flag without a value that was given one.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.filter_builder import Exclusions, FilterBuilder, Messages
from palomar.filter_flags import FILTER_KEYS, FilterKey
from palomar.go_syntax import quote

NOT: Final = "not"
"""The flag that turns the filter flag after it into an exclusion."""

NEGATED: Final = "not-"
"""How the name of a flag begins that is an exclusion by itself."""

_TRUE = frozenset({"1", "t", "true", "y", "yes", "on", ""})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})


def split_flags(
    flags: Iterable[tuple[str, str]], dialect: Dialect = Dialect.PALOMAR
) -> tuple[Messages, Messages]:
    """Turn filter flags, in the order they were given, into what to let pass and what not.

    `not` moves the one filter flag after it to the other list. All flags there make one filter, so
    a flow is left out if it matches all of them, as in Hubble. A flag `not-NAME` leaves out what
    matches NAME, whatever else is left out.

    Args:
        flags: Names without dashes, and values; that of a flag without one is a boolean.
        dialect: Whose reading of values, and whose words for errors.

    Raises:
        InvalidRequest: A value means nothing, flags exclude each other, or `not` stands before
            nothing or before itself.
    """
    strict = dialect is Dialect.HUBBLE
    allow, deny, exclusions = FilterBuilder(dialect), FilterBuilder(dialect), Exclusions()
    negated = False
    for name, value in flags:
        if name == NOT:
            negated = _negation(value, negated=negated, strict=strict)
            continue
        key = _key(name, value, strict=strict)
        if name.startswith(NEGATED) and negated:
            raise InvalidRequest(f"--not before --{name} is one too many; leave it out")
        if key is not None and name.startswith(NEGATED):
            exclusions.add(key, value)
        elif key is not None:
            with _hubble_words(key, value, strict=strict):
                (deny if negated else allow).add(key, value)
        negated = False
    if negated and strict:
        raise InvalidRequest("--not stands before no filter")
    if negated:
        raise InvalidRequest("--not stands before no filter; put the filter to exclude after it")
    return allow.messages(), (*deny.messages(), *exclusions.messages())


def _negation(value: str, *, negated: bool, strict: bool) -> bool:
    if strict:
        # Whatever its value: `--not=false` negates as well.
        if negated:
            raise InvalidRequest("--not stands twice before one filter")
        return True
    if negated:
        raise InvalidRequest("--not stands twice before one filter; give it once")
    return _boolean(NOT, value)


def _key(name: str, value: str, *, strict: bool) -> FilterKey | None:
    """Which filter a flag means; `None` for none, as `--ipv4=false` does."""
    key = FILTER_KEYS[name.removeprefix(NEGATED)]
    if key.metavar or strict or _boolean(key.name, value):
        return key
    return FILTER_KEYS.get(key.opposite)


@contextmanager
def _hubble_words(key: FilterKey, value: str, *, strict: bool) -> Iterator[None]:
    """Word what is wrong with a value as `hubble` does, where that is wanted."""
    try:
        yield
    except InvalidRequest as error:
        if not strict:
            raise
        raise InvalidRequest(
            f"invalid argument {quote(value)} for {quote(key.usage)} flag: {error}"
        ) from error


def _boolean(name: str, value: str) -> bool:
    word = value.strip().lower()
    if word not in _TRUE | _FALSE:
        raise InvalidRequest(f"--{name} takes true or false, not {value!r}")
    return word in _TRUE
