from __future__ import annotations

import pytest

from palomar_bpf.batch import PayloadBatch
from palomar_proto.flow import flow_pb2
from palomar_server.source import END, Pausable
from palomar_server.table import Kind, Protocol
from palomar_server.testing import (
    START_NS,
    Core,
    FakeClock,
    FakePausableSource,
    FakeSource,
    batch_of,
    drop_payload,
    flow_rows,
    lost_message,
    lost_row,
    packet,
    parse_responses,
    trace_payload,
    transport,
)


@pytest.mark.parametrize("ends", [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")])
@pytest.mark.parametrize("protocol", Protocol)
def test_payloads_go_through_the_core_to_responses(
    ends: tuple[str, str], protocol: Protocol
) -> None:
    core = Core()
    content = packet(*ends, protocol, transport(protocol, 1, 2))
    core.consume(trace_payload(content), drop_payload(content, extension={"time_ns": 1}))
    assert core.pipeline.malformed == {}
    dropped, forwarded = parse_responses(
        core.encoder.responses().encode_batch(core.rows(), [0, 1], {})
    )
    assert (dropped.flow.verdict, forwarded.flow.verdict) == (
        flow_pb2.DROPPED,
        flow_pb2.FORWARDED,
    )
    assert dropped.flow.IP.source == forwarded.flow.IP.source == ends[0]


def test_batches_keep_each_payload_apart() -> None:
    batch = batch_of([b"one", b"", b"three"])
    assert [batch.payload(index) for index in range(3)] == [b"one", b"", b"three"]


def test_rows_are_flows_a_second_apart() -> None:
    rows = flow_rows(3, source_port=[1, 2, 3])
    assert (rows["time_ns"] - START_NS).tolist() == [0, 10**9, 2 * 10**9]
    assert rows["source_port"].tolist() == [1, 2, 3]
    assert rows["kind"].tolist() == [Kind.FLOW] * 3


def test_a_lost_row_stands_for_its_message() -> None:
    assert lost_row(5)["kind"].tolist() == [Kind.LOST]
    assert flow_pb2.LostEvent.FromString(lost_message(7)).num_events_lost == 7


def test_a_fake_clock_goes_on_when_it_is_told() -> None:
    clock = FakeClock(10)
    assert clock() == clock() == 10
    clock.advance(1.5)
    assert clock() == 1_500_000_010


def test_fake_source_gives_what_it_was_given_in_order() -> None:
    failure = RuntimeError("made up")
    source = FakePausableSource(batch_of([]), {"node_name": "default/node"})
    source.wake()
    source.give(failure, END)
    assert isinstance(source.read(), PayloadBatch)
    assert source.read() == {"node_name": "default/node"}
    assert source.read() is None
    with pytest.raises(RuntimeError, match="made up"):
        source.read()
    assert source.read() is END
    assert source.read(0.01) is None
    assert isinstance(source, Pausable)
    assert not isinstance(FakeSource(), Pausable)
    with pytest.raises(AssertionError):
        source.close()
