"""Requests from the flags of `palomar observe`: values by name in, a request out.

What `requests` builds for callers of the library, built for the command line: with the filters of
flags and lists, and in the dialect of `hubble` with its order of checks, its words for errors, and
its idea of how many events are meant. Does no I/O; the clock is a parameter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from palomar.configuration import FILTER_LISTS
from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.flag_filters import split_flags
from palomar.requests import (
    DEFAULT_LAST,
    NUMBER_MAX,
    EventRequestT,
    Selection,
    events_request,
    flows_request,
)
from palomar.timestamps import is_hubble_time
from palomar_proto.flow.flow_pb2 import FlowFilter
from palomar_proto.observer.observer_pb2 import GetFlowsRequest

_SELECTION = ("last", "first", "all", "since", "until", "follow")


def flows_flag_request(
    flags: Iterable[tuple[str, str]],
    options: Mapping[str, Any],
    dialect: Dialect,
    now_ns: int,
) -> GetFlowsRequest:
    """Build the request for flows that the flags describe.

    Args:
        flags: Filter flags, `not` and `FILTER_LISTS`, in their order, with their values.
        options: Values of the other flags by parameter name; `input_file` says whether flows come
            from a file, of which all are meant where nothing says how many.
        dialect: Whose reading.
        now_ns: Nanoseconds since the Unix epoch; durations count back from it.

    Raises:
        InvalidRequest: A value means nothing, or flags exclude each other.
    """
    given = list(flags)
    allow, deny = split_flags([flag for flag in given if flag[0] not in FILTER_LISTS], dialect)
    selection, number = _selected(options, dialect)
    lists = {name: [text for flag, text in given if flag == name] for name in FILTER_LISTS}
    request = flows_request(
        selection,
        _allowed(allow, _listed("allowlist", lists["allowlist"], dialect), dialect),
        [*deny, *_listed("denylist", lists["denylist"], dialect)],
        now_ns,
    )
    request.number = number
    if dialect is Dialect.HUBBLE and options.get("field_mask"):
        _refuse_fields(options["field_mask"], str(options.get("output")))
    return request


def events_flag_request(
    kind: type[EventRequestT], options: Mapping[str, Any], dialect: Dialect, now_ns: int
) -> EventRequestT:
    """Build the request for agent or debug events that the flags describe.

    Args:
        kind: GetAgentEventsRequest or GetDebugEventsRequest.
        options: Values of the flags by parameter name.
        dialect: Whose reading; that of `hubble` ignores `--first`.
        now_ns: Nanoseconds since the Unix epoch; durations count back from it.

    Raises:
        InvalidRequest: A value means nothing, or flags exclude each other.
    """
    if dialect is Dialect.PALOMAR:
        return events_request(kind, _given(options), now_ns)
    # No flags exclude each other here: the times say where, and --all wins over --last.
    selection = _hubble_times(_given({**options, "first": 0, "last": 0, "all": False}))
    request = events_request(kind, selection, now_ns)
    request.number = options["last"]
    if not (selection.since or selection.until):
        request.number = NUMBER_MAX if options["all"] else options["last"] or DEFAULT_LAST
    return request


def _selected(options: Mapping[str, Any], dialect: Dialect) -> tuple[Selection, int]:
    """Say which flows are meant, and how many."""
    from_file = bool(options.get("input_file"))
    if dialect is Dialect.PALOMAR:
        selection = _given(options)
        said = selection.last or selection.first or selection.all or selection.follow
        return selection, 0 if from_file and not said else selection.number(followed=0)
    for one, other in (("first", "last"), ("first", "all"), ("first", "follow"), ("last", "all")):
        if options[one] and options[other]:
            raise InvalidRequest(f"cannot set both --{one} and --{other}")
    selection = _hubble_times(_given(options))
    number = selection.first or selection.last
    if not (number or selection.since or selection.until):
        if selection.all:
            number = NUMBER_MAX
        elif not (selection.follow or from_file):
            number = DEFAULT_LAST
    return selection, number


def _refuse_fields(paths: str, output: str) -> None:
    """Refuse a field mask as `hubble` does, even where nothing is asked for."""
    from palomar.field_choice import check_path  # noqa: PLC0415 - few runs need it
    from palomar.printers import is_legacy_json  # noqa: PLC0415 - likewise

    if is_legacy_json(output):
        raise InvalidRequest(f"-o {output} shows fields of its own, without --field-mask")
    for path in paths.split(","):
        check_path(path)


def _given(options: Mapping[str, Any]) -> Selection:
    return Selection(**{name: options[name] for name in _SELECTION})


def _hubble_times(selection: Selection) -> Selection:
    """Refuse times that `hubble` would not take; what it ignores, it does not read either."""
    if selection.follow:
        selection = replace(selection, until=None)
    for name in ("since", "until"):
        text = getattr(selection, name)
        if text and not is_hubble_time(text):
            raise InvalidRequest(f"--{name} {text!r} is neither a duration nor a date")
    return selection


def _listed(name: str, texts: list[str], dialect: Dialect) -> list[FlowFilter]:
    if not texts:
        return []
    from palomar.filter_lists import parse_filters  # noqa: PLC0415 - few runs need it, all would wait

    return parse_filters(name, texts, dialect)


def _allowed(
    allow: Iterable[FlowFilter], listed: list[FlowFilter], dialect: Dialect
) -> list[FlowFilter]:
    if not listed or dialect is Dialect.HUBBLE:
        return [*allow, *listed]
    from palomar.filter_lists import narrowed  # noqa: PLC0415 - likewise

    return narrowed(allow, listed)
