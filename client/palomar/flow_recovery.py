"""Where a stream of flows goes on after it broke, and what is missing then.

palomard gives resume tokens: the next call continues exactly behind the last flow that was read,
and its first batch tells what is lost. With other servers it is a matter of time: see `recovery`.
"""

import time
from collections.abc import Callable

from palomar.errors import PalomarError
from palomar.flow_place import FlowPlace
from palomar.overlap import flow_time_ns
from palomar.reconnection import Reconnect
from palomar.recovery import OnGap, OnReconnect, Recovery
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions, FlowBatch


class FlowRecovery(Recovery[GetFlowsRequest]):
    """What one stream of flows needs to go on after its call broke.

    A look-back can only go on by a token.

    Attributes:
        place: How far the batches were read.
        elsewhere: Whether another server answers now, which may not have what the first one had.
    """

    def __init__(
        self,
        asked: GetFlowsRequest,
        reconnect: Reconnect | None,
        on_gap: OnGap | None = None,
        on_reconnect: OnReconnect | None = None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__(asked, reconnect, on_gap, on_reconnect, now_ns=now_ns)
        self._options = BatchOptions()
        asked.extensions.Unpack(self._options)
        self.place = FlowPlace(self._options.resume_token)
        self.elsewhere = False
        self._by_token = False

    def failed(self, error: PalomarError, lasted_s: float) -> float | None:
        """See `Recovery.failed`. A daemon that does not know the token is asked by time."""
        if self._refuses_token(error):
            self.elsewhere, self._by_token = True, False
            self.place = FlowPlace()
            self.request = self._by_time()
            return 0.0
        return super().failed(error, lasted_s)

    def begin(self, batch: FlowBatch) -> None:
        """Take in how a batch goes on from where the stream had been."""
        if self._outage is None:
            return
        completeness = batch.completeness
        restarted = self._by_token and completeness.restarted
        lost: int | None = None
        if self._by_token and not restarted:
            losses = completeness.losses
            lost = sum(one.num_events_lost for one in losses if one.source == HUBBLE_RING_BUFFER)
        self._settle(may_miss_flows=lost != 0, lost_events=lost, restarted=restarted)

    def take_response(self, response: GetFlowsResponse) -> bool:
        """Whether a response of a server without batches is new to the reader."""
        if self._attempts is None or response.HasField("node_status"):
            return True
        key = response.flow.uuid or hash(response.SerializeToString())
        return self.take(flow_time_ns(response), key, response.node_name)

    def take_batch(self, batch: FlowBatch) -> bool:
        """Note a batch that is handed out whole; it is always new."""
        self.begin(batch)
        self.place.enter(batch, iter(()))
        return True

    def _can_go_on(self) -> bool:
        return super()._can_go_on() or bool(self.place.token())

    def _last_ns(self) -> int:
        return super()._last_ns() or self.place.last_ns()

    def _break_off(self, error: PalomarError) -> None:
        super()._break_off(error)
        token = self.place.token()
        self._by_token = bool(token)
        if token:
            request = GetFlowsRequest()
            request.CopyFrom(self._asked)
            self._pack_options(request, token)
            self.request = request

    def _by_time(self) -> GetFlowsRequest:
        request = super()._by_time()
        if request is not self._asked:
            self._pack_options(request, b"")
        return request

    def _pack_options(self, request: GetFlowsRequest, token: bytes) -> None:
        options = BatchOptions()
        options.CopyFrom(self._options)
        options.resume_token = token
        request.ClearField("extensions")
        if options.ByteSize():
            request.extensions.Pack(options)

    def _refuses_token(self, error: PalomarError) -> bool:
        """Whether who answers now is not the daemon that gave the token, nor its successor."""
        if self._outage is None or self._answered or not self._by_token or not self._asked.follow:
            return False
        if error.status == "UNIMPLEMENTED":
            return True
        return error.status == "INVALID_ARGUMENT" and "resume_token" in error.details
