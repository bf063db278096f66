"""What a packet filter means for the packets that go the other way.

A filter by source and destination gets a companion in which they have changed places. Filters that
say themselves which way they mean stay alone: by `traffic_direction`, `reply`, an expression, or a
source address before translation, which has no like among destinations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import recordings_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

_SOURCE, _DESTINATION = "source_", "destination_"
_ONE_WAY = frozenset({"traffic_direction", "reply", "experimental", "source_ip_xlated"})
_OTHER_SIDE = {
    name: other
    for name in flow_pb2.FlowFilter.DESCRIPTOR.fields_by_name
    for other in (
        name.replace(_SOURCE, _DESTINATION, 1)
        if name.startswith(_SOURCE)
        else name.replace(_DESTINATION, _SOURCE, 1),
    )
    if name.startswith((_SOURCE, _DESTINATION))
    and other in flow_pb2.FlowFilter.DESCRIPTOR.fields_by_name
}


def both_ways(packets: recordings_pb2.PacketFilter) -> recordings_pb2.PacketFilter:
    """The filter that says outright what the given one means.

    Args:
        packets: left as it is. Its `pcap_filter` is taken over.

    Returns:
        One that is `one_way`: what was given first, then companions that are not given already.
    """
    widened = recordings_pb2.PacketFilter()
    widened.CopyFrom(packets)
    if packets.one_way:
        return widened
    widened.one_way = True
    widened.whitelist.extend(_companions(packets.whitelist))
    widened.blacklist.extend(_companions(packets.blacklist))
    swapped = [
        recordings_pb2.PacketTuple(
            source_cidr=one.destination_cidr,
            source_port=one.destination_port,
            destination_cidr=one.source_cidr,
            destination_port=one.source_port,
            protocol=one.protocol,
        )
        for one in packets.tuples
    ]
    widened.tuples.extend(one for one in swapped if one not in packets.tuples)
    return widened


def _companions(filters: Iterable[flow_pb2.FlowFilter]) -> list[flow_pb2.FlowFilter]:
    given = list(filters)
    swapped = [_swapped(one) for one in given]
    return [one for one in swapped if one not in given]


def _swapped(flow_filter: flow_pb2.FlowFilter) -> flow_pb2.FlowFilter:
    """The filter for the other way; an equal one where there is no other way."""
    fields = [field.name for field, _ in flow_filter.ListFields()]
    swapped = flow_pb2.FlowFilter()
    if not _ONE_WAY.isdisjoint(fields):
        swapped.CopyFrom(flow_filter)
        return swapped
    for name in fields:
        other = _OTHER_SIDE.get(name, name)
        getattr(swapped, other).extend(getattr(flow_filter, name))
    return swapped
