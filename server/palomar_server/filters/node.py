"""FlowFilter.node_name and node_labels: the node where an event was seen.

All events are this node's, except flows whose message tells another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.filters.predicate import is_flow
from palomar_server.table import FLOW

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

_NOTHING = np.zeros(1, FLOW)[0]


def compile_node(field: FieldFilter) -> Predicate:
    """Flows of one of the nodes."""
    this_node = _ThisNode(field)

    def predicate(view: View) -> Mask:
        mask = this_node(view)
        asked = view.column("message").nonzero()[0]
        for index in asked[is_flow(view)[asked]].tolist():
            # As for rows: a message that says nothing of its node is from this one.
            told = view.told(index)
            if told.node_name or told.node_labels:
                mask[index] = field.test(view.flow(index))
        return mask

    return predicate


class _ThisNode:
    """The same answer for all flows, until the node gets another name."""

    def __init__(self, field: FieldFilter) -> None:
        self._field = field
        # What is no flow tells of no node, which selectors may ask for.
        self._others_match = field.test(flow_pb2.Flow())
        self._name: str | None = None
        self._matches = False

    def __call__(self, view: View) -> Mask:
        if self._name != (name := self._field.encoder.node_name):
            # A flow without anything but what tells of the node.
            self._matches = self._field.test(self._field.encoder.flow(_NOTHING))
            self._name = name
        if self._matches == self._others_match:
            return np.full(len(view), self._matches)
        mask = is_flow(view)
        return mask if self._matches else ~mask
