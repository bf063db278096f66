"""Requests of palomar.v1.Recordings: what a caller wants recorded in, one message out.

Both clients and the command line build them here. Does no I/O.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Literal, Unpack, cast

from palomar.errors import InvalidRequest
from palomar.filter_flags import FilterKeywords
from palomar.filters import Filter
from palomar.packet_tuples import parse_packet_tuple
from palomar.requests import filter_lists
from palomar.timestamps import duration_ns
from palomar.triggers import parse_trigger
from palomar_proto.flow.flow_pb2 import FlowFilter
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_FORMAT_PCAP,
    RECORDING_FORMAT_PCAPNG,
    ListRequest,
    PacketTuple,
    RecordingFormat,
    RecordingStatus,
    StartRequest,
)

FormatName = Literal["pcapng", "pcap"]

FORMATS: Final[dict[str, RecordingFormat.ValueType]] = {
    "pcapng": RECORDING_FORMAT_PCAPNG,
    "pcap": RECORDING_FORMAT_PCAP,
}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_STATUS_PREFIX: Final = "RECORDING_STATUS_"
_UINT32_MAX: Final = 2**32 - 1
_UINT64_MAX: Final = 2**64 - 1
_MICROSECOND: Final = timedelta(microseconds=1)


class RecordKeywords(FilterKeywords, total=False):
    """Keywords of `Client.start_recording` and `Client.record_stream`, besides filters."""

    tuples: str | PacketTuple | Iterable[str | PacketTuple]
    """A packet must match one of these: `PacketTuple` messages, or text such as
    `10.0.0.0/8 * 10.1.0.7 80 tcp` (source, its port, destination, its port, protocol)."""
    pcap_filter: str
    """An expression in the language of tcpdump that a packet must match, too."""
    one_way: bool
    """Take filters and tuples as they are. By default what goes the other way is meant as well."""
    name: str
    """Begin of the id and of the file's name; means nothing for a stream."""
    format: FormatName
    """`pcapng` unless told otherwise."""
    snaplen_bytes: int
    """Bytes of each packet; 0 for all."""
    packets_max: int
    """End with this packet; 0 for never."""
    bytes_max: int
    """End with the packet that reaches so many captured bytes; 0 for never."""
    duration: timedelta | str
    """End so long after the begin, or after the trigger: a timedelta, or text such as `1m30s`."""
    trigger: str | Filter | FlowFilter
    """Begin to write with the first packet of such a flow; text is as in `verdict=drop,pod=web`."""
    before: timedelta | str
    """How far back packets before that one are kept, where the node has memory for them."""
    keep: timedelta | str
    """How long the node keeps the file at most; means nothing for a stream."""


_OWN_KEYWORDS: Final = RecordKeywords.__annotations__.keys() - FilterKeywords.__annotations__.keys()


def start_request(
    filters: Iterable[Filter | FlowFilter],
    exclude: Iterable[Filter | FlowFilter],
    **keywords: Unpack[RecordKeywords],
) -> StartRequest:
    """Say what to record; see `Client.start_recording`.

    Raises:
        InvalidRequest: A value means nothing, or filters come both ways.
        TypeError: There is no such keyword.
    """
    filters = tuple(filters)
    rest = dict(keywords)
    own = {name: rest.pop(name) for name in _OWN_KEYWORDS & rest.keys()}
    if unknown := [name for name in rest if name not in FilterKeywords.__annotations__]:
        raise TypeError(
            f"{unknown[0]!r} is no keyword of a recording; there are "
            f"{', '.join(sorted(_OWN_KEYWORDS))}, and those of a filter"
        )
    if rest and filters:
        raise InvalidRequest(
            f"filters come both as objects and as keywords ({', '.join(rest)}); put the keywords "
            "into a Filter as well"
        )
    if rest:
        filters = (Filter(**cast("FilterKeywords", rest)),)
    request = StartRequest(snaplen_bytes=_number(own, "snaplen_bytes", _UINT32_MAX))
    allow, deny = filter_lists(filters, exclude)
    request.filter.whitelist.extend(allow)
    request.filter.blacklist.extend(deny)
    request.filter.tuples.extend(_tuples(own.get("tuples", ())))
    request.filter.pcap_filter = cast("str", own.get("pcap_filter", ""))
    request.filter.one_way = cast("bool", own.get("one_way", False))
    request.stop.packets = _number(own, "packets_max", _UINT64_MAX)
    request.stop.bytes = _number(own, "bytes_max", _UINT64_MAX)
    if duration := _duration_ns(own, "duration"):
        request.stop.duration.FromNanoseconds(duration)
    if keep := _duration_ns(own, "keep"):
        request.keep.FromNanoseconds(keep)
    _add_trigger(request, own)
    request.name = _name(cast("str", own.get("name", "")))
    request.format = _format(cast("str", own.get("format", "")))
    return request


def list_request(statuses: Iterable[str], limit: int) -> ListRequest:
    """Ask for recordings; see `Client.recordings`.

    Raises:
        InvalidRequest: There is no such status, or no such number.
    """
    return ListRequest(
        statuses=[_status(name) for name in statuses],
        limit=_number({"limit": limit}, "limit", _UINT32_MAX),
    )


def status_names() -> list[str]:
    """The names of what may be the matter with a recording."""
    keys = RecordingStatus.keys()
    return [key.removeprefix(_STATUS_PREFIX).lower() for key in keys if RecordingStatus.Value(key)]


def _status(name: str) -> RecordingStatus.ValueType:
    wanted = name.strip().lower()
    if wanted not in status_names():
        raise InvalidRequest(
            f"there is no status {name!r}; a recording is one of {', '.join(status_names())}"
        )
    return RecordingStatus.Value(f"{_STATUS_PREFIX}{wanted.upper()}")


def _tuples(given: object) -> list[PacketTuple]:
    items = (given,) if isinstance(given, str | PacketTuple) else cast("Iterable[object]", given)
    return [
        item if isinstance(item, PacketTuple) else parse_packet_tuple(str(item)) for item in items
    ]


def _add_trigger(request: StartRequest, own: dict[str, object]) -> None:
    trigger = own.get("trigger", "")
    before_ns = _duration_ns(own, "before")
    if isinstance(trigger, str):
        found = parse_trigger(trigger) if trigger.strip() else ()
    elif isinstance(trigger, Filter):
        if trigger.deny:
            raise InvalidRequest(
                f"trigger {trigger} leaves something out, which a trigger cannot; leave that out"
            )
        found = trigger.messages
    else:
        found = (cast("FlowFilter", trigger),)
    if found or before_ns:
        request.trigger.SetInParent()
        request.trigger.filters.extend(found)
    if before_ns:
        request.trigger.before.FromNanoseconds(before_ns)


def _name(name: str) -> str:
    if name and not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"name {name!r} is no name of a recording; take up to 40 lower-case letters, digits "
            "and hyphens, a letter first"
        )
    return name


def _format(name: str) -> RecordingFormat.ValueType:
    if not name:
        return RECORDING_FORMAT_PCAPNG
    if name.lower() not in FORMATS:
        raise InvalidRequest(f"format {name!r} is none of {', '.join(FORMATS)}")
    return FORMATS[name.lower()]


def _duration_ns(own: dict[str, object], name: str) -> int:
    value = own.get(name, "")
    if isinstance(value, timedelta):
        value_ns: int | None = value // _MICROSECOND * 1_000
    else:
        value_ns = duration_ns(str(value)) if value else 0
    if value_ns is None or value_ns < 0:
        raise InvalidRequest(f"{name} {value!r} is no duration; write it like 10s or 1m30s")
    return value_ns


def _number(own: dict[str, object], name: str, maximum: int) -> int:
    value = own.get(name, 0)
    if not isinstance(value, int):
        raise InvalidRequest(f"{name} {value!r} is no whole number")
    if not 0 <= value <= maximum:
        raise InvalidRequest(f"{name} {value} is not between 0 and {maximum}")
    return value
