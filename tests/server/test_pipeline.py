from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from palomar_bpf.batch import Loss, LossKind
from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.monitor import agent_notice
from palomar_proto.monitor.agent_notice import NoticeType
from palomar_proto.palomar.v1 import loss_pb2
from palomar_server.decode.malformed import Malformed
from palomar_server.table import Kind
from palomar_server.testing import START_NS, Core, packet, trace_payload, transport

if TYPE_CHECKING:
    from palomar_bpf.batch import PayloadBatch
    from palomar_server.hooks import FlowBatch
    from palomar_server.table import Mask


def payload(port: int) -> bytes:
    return trace_payload(packet(body=transport(source_port=port)))


def ports(core: Core) -> list[int]:
    rows = core.rows()
    return [int(port) for port in rows["source_port"][rows["kind"] == Kind.FLOW]]


def notices(core: Core) -> list[flow_pb2.LostEvent]:
    first = core.ring.oldest
    rows = core.rows()
    return [
        flow_pb2.LostEvent.FromString(core.ring.message(first + int(index)))
        for index in np.flatnonzero(rows["kind"] == Kind.LOST)
    ]


def test_events_reach_the_ring_in_order_and_readers_are_told() -> None:
    told: list[None] = []
    core = Core(notify=lambda: told.append(None))
    core.consume(payload(1), payload(2))
    core.consume(payload(3))
    assert ports(core) == [1, 2, 3]
    assert len(told) == 2


def test_a_batch_that_leaves_nothing_tells_nobody() -> None:
    told: list[None] = []
    core = Core(notify=lambda: told.append(None))
    core.consume()
    core.consume(b"\xff" * 20)
    assert (len(core.ring), told) == (0, [])


def test_malformed_payloads_are_counted_by_type_and_reason() -> None:
    core = Core()
    core.consume(payload(1), b"", b"\x04", b"\x04")
    core.consume(b"\x04", bytes([MessageType.AGENT]) * 20)
    assert core.pipeline.malformed == {
        (0, Malformed.EMPTY): 1,
        (MessageType.TRACE, Malformed.HEAD_TOO_SHORT): 3,
        (MessageType.AGENT, Malformed.GOB): 1,
    }
    assert ports(core) == [1]


def test_losses_stand_before_the_events_of_their_batch() -> None:
    core = Core()
    losses = (Loss(LossKind.PERF_RING, 1, 5), Loss(LossKind.RATE_LIMIT, 0, 7))
    core.consume(payload(1), losses=losses)
    core.consume(losses=losses[:1])
    assert core.rows()["kind"].tolist() == [Kind.LOST, Kind.LOST, Kind.FLOW, Kind.LOST]
    assert core.pipeline.lost == {LossKind.PERF_RING: 10, LossKind.RATE_LIMIT: 7}
    ring, limit, again = notices(core)
    assert ring == again
    assert (ring.source, ring.num_events_lost) == (flow_pb2.PERF_EVENT_RING_BUFFER, 5)
    assert (ring.cpu.value, ring.first.ToNanoseconds()) == (1, START_NS)
    assert int(limit.source) == int(loss_pb2.KERNEL_RATE_LIMIT)
    assert limit.num_events_lost == 7
    assert (limit.HasField("cpu"), limit.last.ToNanoseconds()) == (True, START_NS)


@pytest.mark.parametrize("kind", LossKind)
def test_every_stage_that_loses_has_a_notice(kind: LossKind) -> None:
    core = Core()
    core.consume(losses=(Loss(kind, 0, 1),))
    assert notices(core)[0].source != flow_pb2.UNKNOWN_LOST_EVENT_SOURCE


class Stopping:
    """Stops all it is asked about, or what a test says."""

    def __init__(self, *stopped_ports: int) -> None:
        self._stopped = stopped_ports
        self.kinds: list[list[int]] = []

    def _mask(self, batch: FlowBatch) -> Mask:
        self.kinds.append(batch.rows["kind"].tolist())
        return ~np.isin(batch.rows["source_port"], self._stopped)


class FlowHook(Stopping):
    def on_decoded_flow(self, batch: FlowBatch) -> Mask:
        return self._mask(batch)


class EventHook(Stopping):
    def on_decoded_event(self, batch: FlowBatch) -> Mask:
        return self._mask(batch)


LOSSES = (Loss(LossKind.PERF_RING, 0, 1), Loss(LossKind.RATE_LIMIT, 0, 2))


def test_flow_hooks_see_flows_only_and_event_hooks_losses_too() -> None:
    core, flows, events = Core(), FlowHook(2), EventHook()
    core.hooks.register(flows, "flows")
    core.hooks.register(events, "events")
    core.consume(payload(1), payload(2), losses=LOSSES)
    assert flows.kinds == [[Kind.FLOW] * 2]
    assert events.kinds == [[Kind.LOST, Kind.LOST, Kind.FLOW]]
    assert ports(core) == [1]


def test_events_that_are_no_flows_pass_flow_hooks_by_in_their_place() -> None:
    core, flows, events = Core(), FlowHook(2), EventHook()
    core.hooks.register(flows, "flows")
    core.hooks.register(events, "events")
    notice = agent_notice.encode(NoticeType.ENDPOINT_CREATED, {"id": 7, "labels": []})
    core.consume(payload(1), notice, payload(2))
    core.consume(notice)
    assert flows.kinds == [[Kind.FLOW] * 2]
    assert sorted(events.kinds[0]) == [Kind.FLOW, Kind.AGENT]
    assert events.kinds[1] == [Kind.AGENT]
    told = [
        flow_pb2.AgentEvent.FromString(core.ring.message(sequence)).endpoint_update.id
        for sequence, kind in enumerate(core.rows()["kind"].tolist())
        if kind == Kind.AGENT
    ]
    assert told == [7, 7]
    assert ports(core) == [1]


def test_hooks_get_the_flows_that_messages_hold() -> None:
    class Texts:
        def on_decoded_event(self, batch: FlowBatch) -> None:
            contents.extend(batch.content(index) for index in range(len(batch.rows)))

    contents: list[bytes] = []
    core = Core()
    core.hooks.register(Texts(), "texts")
    core.consume(payload(1), agent_notice.encode(NoticeType.AGENT_STARTED, {}))
    assert [bool(content) for content in contents] == [False, True]


def test_a_gap_has_no_cpu_and_the_time_since_when() -> None:
    core = Core()
    core.consume(losses=(Loss(LossKind.SOURCE_GAP, 0, 1, first_ns=START_NS - 5),))
    (gap,) = notices(core)
    assert (int(gap.source), gap.HasField("cpu")) == (int(loss_pb2.SOURCE_GAP), False)
    assert (gap.first.ToNanoseconds(), gap.last.ToNanoseconds()) == (START_NS - 5, START_NS)


def test_hooks_are_not_called_without_rows() -> None:
    core, flows, events = Core(), FlowHook(), EventHook()
    core.hooks.register(flows, "flows")
    core.hooks.register(events, "events")
    core.consume(b"\x04")
    assert (flows.kinds, events.kinds) == ([], [])


@pytest.mark.parametrize(
    ("stopped", "left"), [((0, 1, 2), []), ((0,), [1, 2]), ((1,), [2]), ((), [1, 2])]
)
def test_no_hook_can_stop_a_loss_notice(stopped: tuple[int, ...], left: list[int]) -> None:
    # Loss notices have port 0, so this hook stops them where it can.
    core = Core()
    core.hooks.register(EventHook(*stopped), "stopping")
    core.consume(payload(1), payload(2), losses=LOSSES)
    assert [notice.num_events_lost for notice in notices(core)] == [1, 2]
    assert ports(core) == left
    assert core.ring.flows_seen == len(left)


def test_a_hook_may_change_columns() -> None:
    class Renumber:
        def on_decoded_flow(self, batch: FlowBatch) -> None:
            batch.rows["source_port"] += 1000

    core = Core()
    core.hooks.register(Renumber(), "renumber")
    core.consume(payload(1))
    assert ports(core) == [1001]


def test_payloads_a_monitor_hook_stops_are_neither_decoded_nor_counted() -> None:
    class OnlyTraces:
        def on_monitor_event(self, batch: PayloadBatch) -> Mask:
            mask: Mask = batch.buffer[batch.offsets] == MessageType.TRACE
            return mask

    core = Core()
    core.hooks.register(OnlyTraces(), "only traces")
    core.consume(bytes([MessageType.DEBUG]) * 20, payload(1), losses=LOSSES)
    assert ports(core) == [1]
    assert core.pipeline.malformed == {}
    assert len(notices(core)) == 2


def test_all_rows_of_the_ring_are_flows_without_losses() -> None:
    core = Core()
    core.consume(payload(1))
    assert core.rows()["kind"].tolist() == [Kind.FLOW]
