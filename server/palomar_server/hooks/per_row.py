"""Hooks made of functions on single events: a price that only their users pay.

A function gets its event lazily: `event.protobuf` is built when it is first asked for, and `row`
has the columns before that. `when` chooses rows by columns for a whole batch at once, so that the
function is not even called for the others. A call costs about half a microsecond, a protobuf flow
some 40.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.hooks.errors import RowErrors
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from palomar_bpf.batch import PayloadBatch
    from palomar_server.hooks.batch import DeliveryBatch, FlowBatch
    from palomar_server.table import Mask

Event: TypeAlias = flow_pb2.Flow | flow_pb2.LostEvent | flow_pb2.AgentEvent | flow_pb2.DebugEvent


class Verdict(enum.Enum):
    """What a hook says of one event."""

    CONTINUE = enum.auto()
    STOP = enum.auto()


class LazyFlow:
    """A flow of a batch: its columns at hand, its protobuf message once somebody asks.

    Good for the call that it is given to: the batch behind it is not kept for later.
    """

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: FlowBatch, index: int) -> None:
        self._batch = batch
        self._index = index

    @property
    def row(self) -> Any:
        """The element of the `FLOW` array, by column: `flow.row["verdict"]`."""
        return self._batch.rows[self._index]

    @property
    def protobuf(self) -> flow_pb2.Flow:
        """The whole flow: built at the first call, shared with others, not to be changed."""
        return self._batch.flow(self._index)


_MESSAGES: dict[int, type[flow_pb2.LostEvent | flow_pb2.AgentEvent | flow_pb2.DebugEvent]] = {
    Kind.LOST: flow_pb2.LostEvent,
    Kind.AGENT: flow_pb2.AgentEvent,
    Kind.DEBUG: flow_pb2.DebugEvent,
}


class LazyEvent(LazyFlow):
    """An event of any kind, likewise."""

    __slots__ = ()

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind(self.row["kind"])

    @property
    def event(self) -> Event:
        """Its message, of the type that its kind has."""
        kind = self.kind
        if kind is Kind.FLOW:
            return self.protobuf
        return _MESSAGES[kind].FromString(self._batch.content(self._index))


class per_flow:  # noqa: N801 - reads as the function it wraps
    """Makes an `OnDecodedFlow` hook of a function on single flows; may stand as a decorator.

    Args:
        function: says whether the flow goes on. Where it raises, that flow does, and the rest of
            the batch is still asked.
        when: which rows it is called for, shape (n,); all others go on. None for all.
    """

    def __init__(
        self,
        function: Callable[[LazyFlow], Verdict],
        *,
        when: Callable[[FlowBatch], Mask] | None = None,
    ) -> None:
        self._function = function
        self._when = when

    def on_decoded_flow(self, batch: FlowBatch) -> Mask:
        """Call the function for the rows that are chosen."""
        function = self._function
        chosen = _chosen(len(batch), None if self._when is None else self._when(batch))
        return _mask(len(batch), chosen, lambda index: function(LazyFlow(batch, index)))


class per_delivered_flow:  # noqa: N801 - likewise
    """Makes an `OnFlowDelivery` hook of a function on single flows; loss notices pass it by.

    Args:
        function: gets the flow and the batch it is of, which names the stream.
        when: as for `per_flow`.
    """

    def __init__(
        self,
        function: Callable[[LazyFlow, DeliveryBatch], Verdict],
        *,
        when: Callable[[DeliveryBatch], Mask] | None = None,
    ) -> None:
        self._function = function
        self._when = when

    def on_flow_delivery(self, batch: DeliveryBatch) -> Mask:
        """Call the function for the flows that are chosen."""
        function = self._function
        flows = batch.rows["kind"] == Kind.FLOW
        chosen = _chosen(len(batch), flows if self._when is None else flows & self._when(batch))
        return _mask(len(batch), chosen, lambda index: function(LazyFlow(batch, index), batch))


class per_event:  # noqa: N801 - likewise
    """Makes an `OnDecodedEvent` hook of a function on single events.

    Args:
        function: as for `per_flow`; of what it says about loss notices nothing is heeded.
        when: as for `per_flow`.
    """

    def __init__(
        self,
        function: Callable[[LazyEvent], Verdict],
        *,
        when: Callable[[FlowBatch], Mask] | None = None,
    ) -> None:
        self._function = function
        self._when = when

    def on_decoded_event(self, batch: FlowBatch) -> Mask:
        """Call the function for the events that are chosen."""
        function = self._function
        chosen = _chosen(len(batch), None if self._when is None else self._when(batch))
        return _mask(len(batch), chosen, lambda index: function(LazyEvent(batch, index)))


class per_payload:  # noqa: N801 - likewise
    """Makes an `OnMonitorEvent` hook of a function on the bytes of single monitor messages.

    Args:
        function: gets the payload, which may carry padding behind it.
    """

    def __init__(self, function: Callable[[bytes], Verdict]) -> None:
        self._function = function

    def on_monitor_event(self, batch: PayloadBatch) -> Mask:
        """Call the function for every payload."""
        function = self._function
        return _mask(len(batch), range(len(batch)), lambda index: function(batch.payload(index)))


def _chosen(count: int, when: Mask | None) -> Iterable[int]:
    if when is None:
        return range(count)
    indices: list[int] = np.flatnonzero(when).tolist()
    return indices


def _mask(count: int, chosen: Iterable[int], verdict: Callable[[int], Verdict]) -> Mask:
    """Which rows go on.

    Raises:
        RowErrors: for some no verdict was to be had; they go on.
    """
    mask: Mask = np.ones(count, np.bool_)
    first_error: Exception | None = None
    errors = 0
    for index in chosen:
        try:
            if verdict(index) is Verdict.STOP:
                mask[index] = False
        except Exception as error:  # noqa: BLE001 - told as RowErrors, after the others
            first_error = first_error or error
            errors += 1
    if first_error is not None:
        raise RowErrors(mask, errors) from first_error
    return mask
