from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.hooks import (
    DeliveryBatch,
    FlowBatch,
    FlowStream,
    Hooks,
    LazyEvent,
    LazyFlow,
    RowErrors,
    Verdict,
    per_delivered_flow,
    per_event,
    per_flow,
    per_payload,
)
from palomar_server.peer import OWN
from palomar_server.table import Kind
from palomar_server.testing import Core, batch_of, event_row, flow_rows, lost_message, lost_row

if TYPE_CHECKING:
    from palomar_server.table import Mask


class UnwillingEncoder:
    """Fails where a flow is built that nobody asked for."""

    def flow(self, row: object, sequence: int | None = None, *, content: bytes = b"") -> None:
        raise AssertionError("nobody has asked for a flow")


def batch_of_ports(*ports: int) -> FlowBatch:
    return FlowBatch(flow_rows(len(ports), source_port=ports), Core().encoder)


def odd_ports(flow: LazyFlow) -> Verdict:
    return Verdict.CONTINUE if flow.protobuf.l4.TCP.source_port % 2 else Verdict.STOP


def test_a_function_on_flows_says_which_go_on() -> None:
    assert per_flow(odd_ports).on_decoded_flow(batch_of_ports(1, 2, 3)).tolist() == [
        True,
        False,
        True,
    ]


def test_columns_are_had_without_building_a_flow() -> None:
    seen: list[int] = []

    @per_flow
    def watch(flow: LazyFlow) -> Verdict:
        seen.append(int(flow.row["source_port"]))
        return Verdict.CONTINUE

    batch = FlowBatch(flow_rows(2, source_port=[1, 2]), UnwillingEncoder())  # type: ignore[arg-type]
    assert watch.on_decoded_flow(batch).all()
    assert seen == [1, 2]


def test_a_function_is_called_only_for_the_rows_that_columns_choose() -> None:
    seen: list[int] = []

    def stop(flow: LazyFlow) -> Verdict:
        seen.append(flow.protobuf.l4.TCP.source_port)
        return Verdict.STOP

    hook = per_flow(stop, when=lambda batch: np.asarray(batch.rows["source_port"] > 2))
    assert hook.on_decoded_flow(batch_of_ports(1, 2, 3)).tolist() == [True, True, False]
    assert seen == [3]


def test_functions_in_a_row_share_the_flows_they_build() -> None:
    flows: list[flow_pb2.Flow] = []

    def watch(flow: LazyFlow) -> Verdict:
        flows.append(flow.protobuf)
        return Verdict.CONTINUE

    hooks = Hooks()
    hooks.register(per_flow(watch), "one")
    hooks.register(per_flow(watch), "two")
    hooks.decoded_flow.run(batch_of_ports(1))
    assert flows[0] is flows[1]


def test_an_exception_lets_its_flow_go_on_and_the_others_are_asked() -> None:
    def picky(flow: LazyFlow) -> Verdict:
        if flow.row["source_port"] > 1:
            raise LookupError(f"no port {flow.row['source_port']}")
        return Verdict.STOP

    batch = batch_of_ports(1, 2, 3, 1)
    with pytest.raises(RowErrors) as caught:
        per_flow(picky).on_decoded_flow(batch)
    assert caught.value.mask.tolist() == [False, True, True, False]
    assert caught.value.count == 2
    assert str(caught.value.__cause__) == "no port 2"
    hooks = Hooks()
    hooks.register(per_flow(picky), "picky")
    with capture_logs():
        assert len(hooks.decoded_flow.run(batch)) == 2
    assert hooks.errors() == {"picky": 2}


def test_a_function_on_events_gets_each_with_its_message() -> None:
    agent = flow_pb2.AgentEvent(type=flow_pb2.AGENT_STARTED)
    debug = flow_pb2.DebugEvent(type=flow_pb2.DBG_TO_HOST)
    rows = np.concatenate(
        (
            flow_rows(1, source_port=5),
            lost_row(),
            event_row(Kind.AGENT, message=2),
            event_row(Kind.DEBUG, message=3),
        )
    )
    messages = [lost_message(7), agent.SerializeToString(), debug.SerializeToString()]
    seen: list[tuple[Kind, object]] = []

    @per_event
    def watch(event: LazyEvent) -> Verdict:
        seen.append((event.kind, event.event))
        return Verdict.STOP

    hooks = Hooks()
    hooks.register(watch, "watch")
    left = hooks.decoded_event.run(FlowBatch(rows, Core().encoder, messages))
    assert [kind for kind, _ in seen] == [Kind.FLOW, Kind.LOST, Kind.AGENT, Kind.DEBUG]
    assert isinstance(seen[0][1], flow_pb2.Flow)
    assert [event for _, event in seen[1:]] == [
        flow_pb2.LostEvent.FromString(messages[0]),
        agent,
        debug,
    ]
    assert left.rows["kind"].tolist() == [Kind.LOST]


def test_a_function_on_delivered_flows_knows_the_stream() -> None:
    stream = FlowStream(observer_pb2.GetFlowsRequest(number=2), OWN)
    rows = np.concatenate((flow_rows(3, source_port=[1, 2, 3]), lost_row()))
    batch = DeliveryBatch(rows, Core().encoder, {13: lost_message()}, [10, 11, 12, 13], stream)

    def few(flow: LazyFlow, batch: DeliveryBatch) -> Verdict:
        wanted = batch.stream.request.number == flow.protobuf.l4.TCP.source_port
        return Verdict.CONTINUE if wanted else Verdict.STOP

    def above_one(batch: FlowBatch) -> Mask:
        return np.asarray(batch.rows["source_port"] != 1)

    hooks = Hooks()
    hooks.register(per_delivered_flow(few), "few")
    assert hooks.flow_delivery.run(batch).sequences == [11, 13]
    hooks = Hooks()
    hooks.register(per_delivered_flow(few, when=above_one), "few")
    assert hooks.flow_delivery.run(batch).sequences == [10, 11, 13]


def test_a_function_on_payloads_gets_their_bytes() -> None:
    hook = per_payload(lambda it: Verdict.STOP if it == b"two" else Verdict.CONTINUE)
    assert hook.on_monitor_event(batch_of([b"one", b"two"])).tolist() == [True, False]


def test_functions_on_events_can_be_spared_by_columns() -> None:
    seen: list[Kind] = []

    def watch(event: LazyEvent) -> Verdict:
        seen.append(event.kind)
        return Verdict.CONTINUE

    hook = per_event(watch, when=lambda batch: np.asarray(batch.rows["kind"] != Kind.FLOW))
    rows = np.concatenate((flow_rows(2), lost_row()))
    assert hook.on_decoded_event(FlowBatch(rows, Core().encoder, [lost_message()])).all()
    assert seen == [Kind.LOST]
