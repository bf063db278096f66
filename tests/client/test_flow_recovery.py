import pytest

from palomar.errors import PalomarError, from_status
from palomar.flow_recovery import FlowRecovery
from palomar.reconnection import Reconnect
from palomar.testing import make_response
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions, Completeness, FlowBatch
from palomar_proto.relay.relay_pb2 import NodeStatusEvent

AT_ONCE = Reconnect(first_delay_s=0, delay_max_s=0)
FLOW = make_response(time="2024-03-05T10:20:30Z", uuid="a")
FIRST = FlowBatch(responses=[FLOW], sequences=[4], resume_token=b"first")
TOKEN_REFUSED = ("INVALID_ARGUMENT", "resume_token: belongs to another node")
NO_BATCHES = ("UNIMPLEMENTED", "unknown service palomar.v1.FlowBatches")


def error(status: str = "UNAVAILABLE", details: str = "Socket closed") -> PalomarError:
    translated = from_status(status, details, "h:1")
    translated.status, translated.details = status, details
    return translated


def options(request: GetFlowsRequest) -> BatchOptions:
    unpacked = BatchOptions()
    request.extensions.Unpack(unpacked)
    return unpacked


def reader(**asked: object) -> FlowRecovery:
    """A reader of one batch."""
    request = GetFlowsRequest(**asked)  # type: ignore[arg-type]
    request.extensions.Pack(BatchOptions(responses_max=7))
    recovery = FlowRecovery(request, AT_ONCE)
    recovery.answered()
    assert recovery.take_batch(FIRST)
    return recovery


def test_batches_go_on_behind_the_last_one() -> None:
    recovery = reader(follow=True, number=3)
    assert recovery.failed(error(), 0) == 0
    assert options(recovery.request) == BatchOptions(resume_token=b"first", responses_max=7)
    assert recovery.request.number == 3


def test_a_look_back_goes_on_if_it_has_a_token() -> None:
    assert FlowRecovery(GetFlowsRequest(), AT_ONCE).failed(error(), 0) is None
    recovery = reader(number=3)
    delays_s = [recovery.failed(error(), 0) for _ in range(6)]
    assert delays_s == [0, 0, 0, 0, 0, None]


def test_a_look_back_without_a_known_token_ends() -> None:
    recovery = reader(number=3)
    recovery.failed(error(), 0)
    assert recovery.failed(error(*TOKEN_REFUSED), 0) is None


@pytest.mark.parametrize(
    ("completeness", "may_miss", "lost", "restarted"),
    [
        (Completeness(), False, 0, False),
        (Completeness(restarted=True), True, None, True),
        (
            Completeness(losses=[LostEvent(source=HUBBLE_RING_BUFFER, num_events_lost=3)]),
            True,
            3,
            False,
        ),
    ],
)
def test_the_first_batch_says_what_is_missing(
    completeness: Completeness,
    may_miss: bool,  # noqa: FBT001 - a column of the table
    lost: int | None,
    restarted: bool,  # noqa: FBT001 - likewise
) -> None:
    recovery = reader(follow=True)
    recovery.failed(error(), 0)
    recovery.answered()
    recovery.begin(FlowBatch(completeness=completeness))
    (gap,) = recovery.gaps
    assert gap.since is not None
    assert gap.since.isoformat() == "2024-03-05T10:20:30+00:00"
    assert (gap.may_miss_flows, gap.lost_events, gap.restarted) == (may_miss, lost, restarted)


@pytest.mark.parametrize("refusal", [TOKEN_REFUSED, NO_BATCHES])
def test_a_daemon_that_does_not_know_the_token_is_asked_by_time(refusal: tuple[str, str]) -> None:
    recovery = reader(follow=True)
    recovery.failed(error(), 0)
    assert not recovery.elsewhere
    assert recovery.failed(error(*refusal), 0) == 0
    assert recovery.elsewhere
    assert options(recovery.request) == BatchOptions(responses_max=7)
    assert recovery.request.since.nanos == 1
    recovery.answered()
    recovery.begin(FlowBatch())
    assert [gap.may_miss_flows for gap in recovery.gaps] == [True]


def test_a_token_that_is_refused_at_once_is_an_error() -> None:
    request = GetFlowsRequest(follow=True)
    request.extensions.Pack(BatchOptions(resume_token=b"given"))
    recovery = FlowRecovery(request, AT_ONCE)
    assert recovery.failed(error(*TOKEN_REFUSED), 0) is None
    assert recovery.failed(error(), 0) == 0
    assert options(recovery.request).resume_token == b"given"


def test_single_flows_are_told_apart_by_their_name_else_by_all_of_them() -> None:
    recovery = FlowRecovery(GetFlowsRequest(follow=True), AT_ONCE)
    nameless = make_response(time="2024-03-05T10:20:31Z")
    notice = GetFlowsResponse(lost_events=LostEvent(num_events_lost=3))
    notice.time.CopyFrom(nameless.time)
    for one in (FLOW, nameless, notice):
        assert recovery.take_response(one)
    recovery.failed(error(), 0)
    recovery.answered()
    for one in (FLOW, nameless, notice):
        assert not recovery.take_response(one)
    assert recovery.take_response(nameless)


def test_states_of_nodes_are_always_new() -> None:
    recovery = FlowRecovery(GetFlowsRequest(follow=True), AT_ONCE)
    state = GetFlowsResponse(node_status=NodeStatusEvent(node_names=["n"]), time=FLOW.time)
    assert recovery.take_response(state)
    recovery.failed(error(), 0)
    assert recovery.take_response(state)
    assert not recovery.gaps
