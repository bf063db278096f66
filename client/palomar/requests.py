"""Requests: what a caller wants to see in, a request of one of the three streams out.

Both clients and the command line build their requests here. Does no I/O; the clock is a parameter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import TypedDict, TypeGuard, TypeVar, Unpack, cast

from google.protobuf.timestamp_pb2 import Timestamp

from palomar.errors import InvalidRequest
from palomar.filter_flags import FilterKeywords
from palomar.filters import Filter
from palomar.timestamps import SECOND_NS, When, unix_ns
from palomar_proto.flow.flow_pb2 import FlowFilter
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetDebugEventsRequest,
    GetFlowsRequest,
)
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions

DEFAULT_LAST = 20
"""Events to show when nothing else is asked for: a screenful, as in Hubble."""

NUMBER_MAX = 2**64 - 1
"""The `number` of a request is a uint64; this many means all."""

_UINT32_MAX = 2**32 - 1

RequestT = TypeVar("RequestT", GetFlowsRequest, GetAgentEventsRequest, GetDebugEventsRequest)
EventRequestT = TypeVar("EventRequestT", GetAgentEventsRequest, GetDebugEventsRequest)


class EventKeywords(TypedDict, total=False):
    """Keywords that say which of the matching events to send. Without any: the last 20."""

    last: int
    """The newest so many; when following, how far to look back first. 0 is as if absent."""
    first: int
    """The oldest so many."""
    all: bool
    """All that the server has."""
    since: When
    """From this time on: text such as `5m` (ago) or `2024-03-05T10:20:30Z`, a datetime, or a
    timedelta in the past."""
    until: When
    """Up to this time; ignored when following."""
    follow: bool
    """Go on with new ones as they happen."""


class SelectionKeywords(EventKeywords, total=False):
    """Keywords that say which of the matching flows to send. Without any: the last 20."""

    fields: str | Iterable[str]
    """Send only this field of each flow, or these, such as `source.pod_name`. Empty sends all."""


class ObserveKeywords(FilterKeywords, SelectionKeywords, total=False):
    """All keywords of `Client.observe`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batching:
    """How flows are to come in batches; the server has bounds of its own, and 0 leaves it to them.

    Raises:
        InvalidRequest: A value means nothing.
    """

    responses_max: int = 0
    """No more responses than this in one batch."""
    bytes_max: int = 0
    """No more bytes than this in one batch, unless a single response has more."""
    delay_max: timedelta = timedelta()
    """When following: how long flows may be held back to fill a batch. By default not at all."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        for name, value in (("responses_max", self.responses_max), ("bytes_max", self.bytes_max)):
            if not 0 <= value <= _UINT32_MAX:
                raise InvalidRequest(f"{name} {value} is not between 0 and {_UINT32_MAX}")
        if self.delay_max < timedelta():
            raise InvalidRequest(f"delay_max {self.delay_max} is negative; make it 0 or more")


def is_given(when: When | None) -> TypeGuard[When]:
    """Whether there is a time at all: no time ago is one, and no text is none."""
    return when is not None and when != ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which of the matching flows to send; the members are those of `SelectionKeywords`."""

    last: int = 0
    first: int = 0
    all: bool = False
    since: When | None = None
    until: When | None = None
    follow: bool = False
    fields: str | Iterable[str] = ()

    def __post_init__(self) -> None:
        """Refuse combinations that mean nothing."""
        exclusive = {"last": self.last, "first": self.first, "all": self.all}
        given = [name for name, value in exclusive.items() if value]
        if self.first and self.follow:
            given = ["first", "follow"]
        if len(given) > 1:
            raise InvalidRequest(f"{given[0]} and {given[1]} cannot be combined; keep one of them")
        for name in ("last", "first"):
            if not 0 <= exclusive[name] <= NUMBER_MAX:
                raise InvalidRequest(f"{name} {exclusive[name]} is not a number of events")

    def number(self, *, followed: int) -> int:
        """How many events to ask for; 0 leaves it to the times, or to what is new.

        Args:
            followed: How many when following and nothing else says how many.
        """
        if self.first or self.last:
            return self.first or self.last
        if is_given(self.since):
            return 0
        # Looking back from a time needs the whole ring: the server counts from the newest flow.
        if self.all or (is_given(self.until) and not self.follow):
            return NUMBER_MAX
        return followed if self.follow else DEFAULT_LAST


def flows_request(
    selection: Selection,
    whitelist: Iterable[FlowFilter],
    blacklist: Iterable[FlowFilter],
    now_ns: int,
) -> GetFlowsRequest:
    """Build the request.

    Args:
        selection: Which of the matching flows.
        whitelist: A flow must match one of these; none lets all pass.
        blacklist: A flow that matches one of these is left out.
        now_ns: Nanoseconds since the Unix epoch; durations count back from it.

    Raises:
        InvalidRequest: A time cannot be read.
    """
    request = _selected(GetFlowsRequest, selection, selection.number(followed=0), now_ns)
    request.whitelist.extend(whitelist)
    request.blacklist.extend(blacklist)
    fields = selection.fields
    request.field_mask.paths.extend([fields] if isinstance(fields, str) else fields)
    if not request.field_mask.paths:
        request.ClearField("field_mask")
    return request


def add_batch_options(
    request: GetFlowsRequest, resume: bytes = b"", batching: Batching | None = None
) -> None:
    """Say in a request where to go on and how its batches are to be; nothing if that is nothing.

    Args:
        request: Is changed.
        resume: A resume token.
        batching: How large batches may be, and how late.
    """
    batching = batching or Batching()
    options = BatchOptions(
        resume_token=resume,
        responses_max=batching.responses_max,
        bytes_max=batching.bytes_max,
    )
    if batching.delay_max:
        options.delay_max.FromTimedelta(batching.delay_max)
    if options.ByteSize():
        request.extensions.Pack(options)


def events_request(kind: type[EventRequestT], selection: Selection, now_ns: int) -> EventRequestT:
    """Build a request for agent or debug events.

    These are rare beside flows: who follows them sees the last ones first, as in Hubble.

    Args:
        kind: GetAgentEventsRequest or GetDebugEventsRequest.
        selection: Which of them, without `fields`.
        now_ns: Nanoseconds since the Unix epoch; durations count back from it.

    Raises:
        InvalidRequest: A time cannot be read, or only some fields are wanted.
    """
    if selection.fields:
        raise InvalidRequest("fields can only be chosen of flows; leave them out")
    return _selected(kind, selection, selection.number(followed=DEFAULT_LAST), now_ns)


def _selected(kind: type[RequestT], selection: Selection, number: int, now_ns: int) -> RequestT:
    request = kind(number=number, first=bool(selection.first), follow=selection.follow)
    if is_given(selection.since):
        request.since.CopyFrom(_timestamp(selection.since, now_ns))
    if is_given(selection.until):
        until = _timestamp(selection.until, now_ns)  # read even where ignored, to refuse nonsense
        if not selection.follow:
            request.until.CopyFrom(until)
    return request


def keyword_request(
    filters: tuple[Filter | FlowFilter, ...],
    exclude: Iterable[Filter | FlowFilter],
    now_ns: int,
    **keywords: Unpack[ObserveKeywords],
) -> GetFlowsRequest:
    """Build the request of `Client.observe` from its arguments.

    Raises:
        InvalidRequest: A value means nothing, or filters come both ways.
        TypeError: There is no such keyword.
    """
    names = SelectionKeywords.__annotations__
    selection = Selection(**{name: value for name, value in keywords.items() if name in names})  # type: ignore[arg-type]  # as typed by ObserveKeywords
    by_keyword = {name: value for name, value in keywords.items() if name not in names}
    if by_keyword and filters:
        raise InvalidRequest(
            f"filters come both as objects and as keywords ({', '.join(by_keyword)}); "
            "put the keywords into a Filter as well"
        )
    if by_keyword:
        filters = (Filter(**cast("FilterKeywords", by_keyword)),)
    allow, deny = filter_lists(filters, exclude)
    return flows_request(selection, allow, deny, now_ns)


def filter_lists(
    filters: Iterable[Filter | FlowFilter], exclude: Iterable[Filter | FlowFilter]
) -> tuple[list[FlowFilter], list[FlowFilter]]:
    """Put filters into the lists of a request.

    Args:
        filters: A flow must match one of them; none lets all pass.
        exclude: A flow that matches one of these is left out.

    Returns:
        What to let pass, of which nothing means everything, and what to leave out.

    Raises:
        InvalidRequest: No two lists can say it: alternatives that leave out different flows, or
            an exclusion with exceptions.
    """
    given = list(filters)
    denied = [message for item in exclude for message in _messages(item)]
    if not any(isinstance(item, Filter) and item.deny for item in given):
        return [message for item in given for message in _messages(item)], denied
    whole = reduce(
        or_, [item if isinstance(item, Filter) else Filter.from_lists([item]) for item in given]
    )
    return [*whole.allow], [*whole.deny, *denied]


def _messages(item: Filter | FlowFilter) -> tuple[FlowFilter, ...]:
    return item.messages if isinstance(item, Filter) else (item,)


def _timestamp(when: When, now_ns: int) -> Timestamp:
    seconds, nanos = divmod(unix_ns(when, now_ns), SECOND_NS)
    return Timestamp(seconds=seconds, nanos=nanos)
