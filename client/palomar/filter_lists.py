"""Ready-made filters as JSON: what `--allowlist`, `--denylist` and saved views hold.

In: text of one or more JSON objects, one behind the other, each a flow.FlowFilter after the
protojson mapping. Out: messages. `raw_filters` writes what this reads.
"""

from collections.abc import Iterable
from json import JSONDecodeError, JSONDecoder
from typing import Any, NoReturn

from google.protobuf.json_format import ParseDict, ParseError

from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.exact_json import refuse_loose
from palomar_proto.flow.flow_pb2 import FlowFilter

_BLANKS = " \t\r\n"


def parse_filters(
    name: str, texts: Iterable[str], dialect: Dialect = Dialect.PALOMAR
) -> list[FlowFilter]:
    """Read filters.

    Args:
        name: What the texts are called, for the message: `allowlist` or `denylist`.
        texts: Each of any number of filters, with nothing or blanks between them; except in the
            dialect of `hubble` also arrays of them.
        dialect: Whose reading, and whose words for errors.

    Raises:
        InvalidRequest: A text is no JSON, or no filter.
    """
    strict = dialect is Dialect.HUBBLE
    found: list[FlowFilter] = []
    for text in texts:
        try:
            for value in _values(text):
                several = isinstance(value, list) and not strict
                if strict:
                    refuse_loose(value, FlowFilter.DESCRIPTOR)
                found += map(_message, value if several else [value])
        except ValueError as error:
            reason = str(error).partition("\n")[0]
            if strict:
                raise InvalidRequest(
                    f"invalid --{name} flag: failed to decode '{text}': {reason}"
                ) from error
            raise InvalidRequest(
                f"{name} {text!r} is no list of filters: {reason}; write them like "
                '{"source_pod":["shop/"],"verdict":["DROPPED"]}'
            ) from error
    return found


def narrowed(allow: Iterable[FlowFilter], listed: Iterable[FlowFilter]) -> list[FlowFilter]:
    """Combine what flags let pass with what a list does: a flow must pass both.

    `hubble` takes them for alternatives, so that a flag beside a saved view shows more, not less.

    Args:
        allow: Of the flags; none lets all pass.
        listed: Of the list; likewise.

    Raises:
        InvalidRequest: What passes both cannot be said in filters, or is nothing.
    """
    flags, view = list(allow), list(listed)
    if not flags or not view:
        return flags or view
    from palomar.filters import Filter  # noqa: PLC0415 - few runs have both

    try:
        both = Filter.from_lists(flags) & Filter.from_lists(view)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"the filter flags cannot be combined with the allowlist: {error}"
        ) from error
    if not both.allow:
        raise InvalidRequest(
            "no flow can pass both the filter flags and the allowlist; leave one of them out"
        )
    return list(both.allow)


def _values(text: str) -> list[Any]:
    values, place = [], 0
    decoder = JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant)
    while rest := text[place:].lstrip(_BLANKS):
        start = len(text) - len(rest)
        try:
            value, place = decoder.raw_decode(text, start)
        except JSONDecodeError as error:
            if not text[error.pos :].strip(_BLANKS):
                raise ValueError("unexpected EOF") from error
            raise
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        values.append(value)
    return values


def _message(value: object) -> FlowFilter:
    if not isinstance(value, dict):
        raise ValueError(f"unexpected token {value!r}, where a filter is an object")  # noqa: TRY004 - caught above
    try:
        return ParseDict(value, FlowFilter())
    except ParseError as error:
        raise ValueError(str(error)) from error


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a field is there twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"unexpected token {name}")
