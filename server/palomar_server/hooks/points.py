"""The seven points at which hooks are called: one Protocol with one method each.

A hook is any object that has at least one of these methods; it is registered for each it has.
Which thread calls, and what an error means, stands at each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_bpf.batch import PayloadBatch
    from palomar_proto.flow import flow_pb2
    from palomar_proto.observer import observer_pb2
    from palomar_server.filters.predicate import Predicate
    from palomar_server.hooks.batch import DeliveryBatch, FlowBatch
    from palomar_server.hooks.server import Server
    from palomar_server.peer import Peer
    from palomar_server.table import Mask


@runtime_checkable
class OnServerInit(Protocol):
    """Sees the daemon before it takes the first event."""

    def on_server_init(self, server: Server) -> None:
        """Make ready. On the loop's thread, once; an error ends the start and names the hook."""


@runtime_checkable
class OnMonitorEvent(Protocol):
    """Sees raw payloads before they are decoded."""

    def on_monitor_event(self, batch: PayloadBatch) -> Mask | None:
        """Return which payloads go on, shape (n,), or None for all. Must not change the batch.

        On an agent's thread. Monitor clients and recordings of events get payloads in any case.
        """


@runtime_checkable
class OnDecodedFlow(Protocol):
    """Sees flows, and only flows, after decoding and enrichment."""

    def on_decoded_flow(self, batch: FlowBatch) -> Mask | None:
        """Return which rows go on, shape (n,), or None for all. On an agent's thread."""


@runtime_checkable
class OnDecodedEvent(Protocol):
    """Sees every event that is about to enter the ring, losses included."""

    def on_decoded_event(self, batch: FlowBatch) -> Mask | None:
        """Return which rows enter the ring, shape (n,), or None for all. On an agent's thread.

        Loss notices enter it, and reach later hooks, in any case.
        """


@runtime_checkable
class OnBuildFilter(Protocol):
    """Adds conditions to filters: kinds of filters that palomar does not have."""

    def on_build_filter(self, flow_filter: flow_pb2.FlowFilter) -> Sequence[Predicate] | None:
        """Return conditions, all of which a row must meet besides those of the filter itself.

        None is as good as none of them.

        On the loop's thread, once for each filter of a request; one without filters has none. A
        condition gets a `View` of n rows and returns a mask, shape (n,); it runs on the loop's
        thread whenever the stream looks at events. Streams with equal filters share it, so what it
        says depends on the filter and the rows alone.

        An error here refuses the request with INVALID_ARGUMENT and the hook's name; one in a
        condition ends the stream with INTERNAL and the hook's name, since rows that nobody could
        judge must not be sent.
        """


@runtime_checkable
class OnGetFlows(Protocol):
    """Sees requests of GetFlows and GetFlowBatches before anything is made of them."""

    def on_get_flows(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer
    ) -> observer_pb2.GetFlowsRequest | None:
        """Return the request to serve instead, or None to leave it as it was.

        On the loop's thread. The request is the hook's own copy, to change and return.

        Raises:
            Refused: the stream is not served (PERMISSION_DENIED), nor is any other hook asked. Any
                other `errors.RequestError` does the same with its own status.
        """


@runtime_checkable
class OnFlowDelivery(Protocol):
    """Sees what a stream of GetFlows or GetFlowBatches is about to get."""

    def on_flow_delivery(self, batch: DeliveryBatch) -> Mask | None:
        """Return which rows are sent, shape (n,), or None for all. On the loop's thread.

        Rows that are stopped have counted toward the request's `number`, as in Hubble. Loss notices
        are sent in any case, and rows are not to be changed. An error lets all rows through: a hook
        that must rather send nothing catches its own errors, or refuses the stream in OnGetFlows.
        """
