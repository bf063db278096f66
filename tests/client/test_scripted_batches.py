import struct

import pytest

from palomar.scripted_batches import RUN_ID, ScriptedBatches
from palomar.testing import make_response
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions

FLOWS = [make_response(Summary=str(number)) for number in range(5)]


def request(**options: object) -> GetFlowsRequest:
    message = GetFlowsRequest()
    message.extensions.Pack(BatchOptions(**options))  # type: ignore[arg-type]
    return message


def test_all_responses_are_one_batch() -> None:
    (batch,) = ScriptedBatches(FLOWS).answer(GetFlowsRequest(), ended=True)
    assert list(batch.responses) == FLOWS
    assert list(batch.sequences) == [0, 1, 2, 3, 4]
    assert (batch.run_id, batch.node_name) == (RUN_ID, "default/node-1")
    assert batch.completeness.end_reached


def test_batches_are_as_small_as_asked() -> None:
    found = ScriptedBatches(FLOWS).answer(request(responses_max=2), ended=False)
    assert [len(batch.responses) for batch in found] == [2, 2, 1]
    assert not found[-1].completeness.end_reached


@pytest.mark.parametrize(("appended", "first"), [(b"", 2), (struct.pack(">QQ", 3, 2), 4)])
def test_a_token_leads_to_the_rest(appended: bytes, first: int) -> None:
    script = ScriptedBatches(FLOWS)
    token = script.answer(request(responses_max=2), ended=True)[0].resume_token
    (batch,) = script.answer(request(resume_token=token + appended), ended=True)
    assert list(batch.responses) == FLOWS[first:]


def test_an_empty_script_has_an_end() -> None:
    (batch,) = ScriptedBatches([]).answer(GetFlowsRequest(), ended=True)
    assert batch.completeness.end_reached
    assert ScriptedBatches([]).answer(GetFlowsRequest(), ended=False) == []


def test_losses_are_told_as_palomard_does(loss: GetFlowsResponse) -> None:
    own = GetFlowsResponse(lost_events=LostEvent(source=HUBBLE_RING_BUFFER, num_events_lost=2))
    (batch,) = ScriptedBatches([loss, own, loss]).answer(GetFlowsRequest(), ended=True)
    assert list(batch.responses) == [loss, loss]
    assert [one.num_events_lost for one in batch.completeness.losses] == [14, 2]
