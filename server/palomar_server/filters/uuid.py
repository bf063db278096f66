"""FlowFilter.uuid: single events, by the uuid that this server gave them.

A uuid holds the event's sequence number, so nothing has to be compared row by row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from palomar_server.encode import FlowEncoder
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

_HEX = 16
_HIGH_AT, _LOW_AT = slice(19, 23), slice(24, 36)
"""Where the two parts of the sequence stand in a uuid."""
_HIGH_MASK = 0x7FFF
_LOW_BITS = 48
_SEQUENCE_MAX = (1 << 62) - 1
"""More than any ring will ever count."""


def compile_uuid(field: FieldFilter) -> Predicate:
    """Flows with one of the uuids."""
    texts: frozenset[str] = frozenset(field.parsed)
    sequences = np.array(sorted(_sequences(texts, field.encoder)), np.int64)
    contents = [text.encode() for text in texts if text]
    matches_none = field.test(flow_pb2.Flow())

    def predicate(view: View) -> Mask:
        if not view.in_ring:
            # Events get their uuid when they are written to the ring.
            mask: Mask = np.full(len(view), matches_none)
        else:
            mask = np.isin(view.numbers(), sequences)
        for index in view.column("message").nonzero()[0].tolist():
            # A message may bring a uuid of its own, and hardly ever one of these.
            content = view.content(index)
            if mask[index] or any(text in content for text in contents):
                mask[index] = field.test(view.flow(index))
        return mask

    return predicate


def _sequences(texts: Iterable[str], encoder: FlowEncoder) -> Iterable[int]:
    for text in texts:
        try:
            high, low = int(text[_HIGH_AT], _HEX), int(text[_LOW_AT], _HEX)
        except ValueError:
            continue
        sequence = (high & _HIGH_MASK) << _LOW_BITS | low
        # Of this run of the server, and written as it writes them.
        if sequence <= _SEQUENCE_MAX and encoder.uuid(sequence) == text:
            yield sequence
