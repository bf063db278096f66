from palomar.errors import from_status
from palomar.flow_recovery import FlowRecovery
from palomar.flow_tally import FlowTally
from palomar.reconnection import Reconnect
from palomar.testing import make_response
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import Completeness, FlowBatch
from palomar_proto.relay.relay_pb2 import NodeStatusEvent

FLOW = make_response(uuid="a")
OWN_LOSS = LostEvent(source=HUBBLE_RING_BUFFER, num_events_lost=5)


def tally_of(
    losses: list[LostEvent] | None = None, states: list[NodeStatusEvent] | None = None
) -> FlowTally:
    recovery = FlowRecovery(GetFlowsRequest(follow=True), Reconnect(first_delay_s=0, delay_max_s=0))
    on_lost = None if losses is None else losses.append
    return FlowTally(recovery, on_lost, None if states is None else states.append)


def test_flows_come_out_and_the_rest_is_counted_and_told(
    loss: GetFlowsResponse, nodes_down: GetFlowsResponse
) -> None:
    losses: list[LostEvent] = []
    states: list[NodeStatusEvent] = []
    tally = tally_of(losses, states)
    answers = [FLOW, loss, nodes_down]
    assert [flow for answer in answers for flow in tally._flows(answer)] == [FLOW.flow]
    assert (losses, states) == ([loss.lost_events], [nodes_down.node_status])
    batch = FlowBatch(responses=answers, sequences=[1, 2, 3])
    assert list(tally._flows(batch)) == [FLOW.flow]
    assert tally.lost_events == 14
    assert tally.position
    assert tally.position.sequence == 3


def test_what_the_stream_itself_lost_comes_first() -> None:
    tally = tally_of()
    batch = FlowBatch(responses=[FLOW], sequences=[1], completeness=Completeness(losses=[OWN_LOSS]))
    notice, flow = tally._responses(batch)
    assert notice.lost_events == OWN_LOSS
    assert flow == FLOW
    assert tally.completeness == batch.completeness


def test_what_is_sent_twice_counts_once(loss: GetFlowsResponse) -> None:
    tally = tally_of()
    assert [len(list(tally._flows(answer))) for answer in (FLOW, loss)] == [1, 0]
    error = from_status("UNAVAILABLE", "Socket closed", "h:1")
    error.status = "UNAVAILABLE"
    assert tally._recovery.failed(error, 0) == 0
    assert [len(list(tally._flows(answer))) for answer in (FLOW, loss)] == [0, 0]
    assert list(tally._responses(make_response(uuid="b"))) == [make_response(uuid="b")]
    assert tally.lost_events == 7
    assert [gap.may_miss_flows for gap in tally.gaps] == [False]
