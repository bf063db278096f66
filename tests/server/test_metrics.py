from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from palomar_bpf.batch import Loss, LossKind
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.errors import Exhausted
from palomar_server.event_file import EventFileWriter
from palomar_server.followers import Followers
from palomar_server.grpc_server import GrpcServer
from palomar_server.metrics import Metrics
from palomar_server.monitor_socket import MonitorServer
from palomar_server.peer import OWN
from palomar_server.reading import Reading, Wanted
from palomar_server.selection import KindSelection
from palomar_server.streams import Streams
from palomar_server.table import Kind
from palomar_server.testing import START_NS, Core, batch_of, flow_rows, packet, trace_payload
from palomar_server.waker import Waker
from tests.server.recording.dispatch_testbed import Dispatching
from tests.server.recording.recording_testbed import RecordingNode, frame

if TYPE_CHECKING:
    from pathlib import Path

    from palomar_server.hooks import FlowBatch
    from palomar_server.table import Mask


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(process=False)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_the_ring_is_read_when_metrics_are(metrics: Metrics) -> None:
    core = Core(capacity=3)
    metrics.add_ring(core.ring)
    assert value(metrics, "palomar_ring_events") == 0
    assert value(metrics, "palomar_ring_oldest_event_timestamp_seconds") == 0
    core.ring.append(flow_rows(5))
    assert value(metrics, "palomar_events_total") == 5
    assert value(metrics, "palomar_flows_total") == 5
    assert value(metrics, "palomar_ring_events") == 3
    assert value(metrics, "palomar_ring_capacity_events") == 3
    assert (
        value(metrics, "palomar_ring_oldest_event_timestamp_seconds")
        == START_NS / 1_000_000_000 + 2
    )
    assert value(metrics, "palomar_ring_messages_dropped_total") == 0


def test_losses_are_told_by_stage_and_malformed_payloads_by_reason(metrics: Metrics) -> None:
    core = Core()
    metrics.add_pipeline(core.pipeline)
    core.consume(
        trace_payload(packet()), b"\x04", b"\xfe", losses=(Loss(LossKind.PERF_RING, 0, 7),)
    )
    assert value(metrics, "palomar_lost_events_total", stage="perf_ring") == 7
    assert value(metrics, "palomar_lost_events_total", stage="rate_limit") == 0
    assert (
        value(metrics, "palomar_malformed_payloads_total", type="trace", reason="head_too_short")
        == 1
    )
    assert (
        value(metrics, "palomar_malformed_payloads_total", type="254", reason="unknown_type") == 1
    )


def test_what_a_table_refused_is_told_by_its_name(metrics: Metrics) -> None:
    core = Core()
    metrics.add_surroundings(core.surroundings)
    core.surroundings.drop_sites.refused = 3
    assert value(metrics, "palomar_table_refused_entries_total", table="drop_sites") == 3
    assert value(metrics, "palomar_endpoint_rows") == 0


def test_each_hook_has_its_figures_at_each_point(metrics: Metrics) -> None:
    class Half:
        def on_decoded_flow(self, batch: FlowBatch) -> Mask:
            mask: Mask = batch.rows["source_port"] > 1
            return mask

        def on_decoded_event(self, batch: FlowBatch) -> None:
            raise LookupError

    core = Core()
    core.hooks.register(Half(), "half")
    metrics.add_hooks(core.hooks)
    with capture_logs():
        core.consume(trace_payload(packet()), trace_payload(packet()))
    flow = {"point": "on_decoded_flow", "hook": "half"}
    event = {"point": "on_decoded_event", "hook": "half"}
    assert value(metrics, "palomar_hook_calls_total", **flow) == 1
    assert value(metrics, "palomar_hook_rows_total", **flow) == 2
    assert value(metrics, "palomar_hook_stopped_total", **flow) == 0
    assert value(metrics, "palomar_hook_errors_total", **event) == 1
    assert value(metrics, "palomar_hook_overruns_total", **event) == 0
    spent_s = value(metrics, "palomar_hook_seconds_total", **event)
    assert spent_s is not None
    assert spent_s > 0


async def test_streams_tell_their_loss(metrics: Metrics) -> None:
    core = Core(capacity=3)
    streams = Streams(streams_max=1)
    waker = Waker(asyncio.get_running_loop())
    followers = Followers(core.ring, core.encoder, waker)
    metrics.add_streams(streams, followers)
    with streams.admitted(OWN):
        with pytest.raises(Exhausted), streams.admitted(OWN):
            pass
        assert value(metrics, "palomar_streams") == 1
    assert value(metrics, "palomar_streams") == 0
    assert value(metrics, "palomar_streams_limit") == 1
    assert value(metrics, "palomar_streams_refused_total") == 1
    core.ring.append(flow_rows(3))
    reading = Reading(
        core.ring, KindSelection(Kind.FLOW), Wanted(position=0), core.encoder, followers, group=0
    )
    core.ring.append(flow_rows(2))
    reading.read()
    reading.close()
    assert value(metrics, "palomar_streams_lost_events_total") == 2


async def test_connections_and_calls_are_told(metrics: Metrics, tmp_path: Path) -> None:
    server = GrpcServer([], socket=tmp_path / "api.sock", socket_mode=0o600, listen=None)
    metrics.add_grpc(server)
    server.refused, server.violations = 2, 3
    assert value(metrics, "palomar_grpc_connections") == 0
    assert value(metrics, "palomar_grpc_connections_refused_total") == 2
    assert value(metrics, "palomar_grpc_calls") == 0
    assert value(metrics, "palomar_grpc_calls_refused_total") == 0
    assert value(metrics, "palomar_grpc_protocol_violations_total") == 3


def test_monitor_socket_and_recording_tell_theirs(metrics: Metrics, tmp_path: Path) -> None:
    monitor = MonitorServer(tmp_path / "monitor.sock")
    metrics.add_monitor(monitor)
    monitor.refused = 2
    assert value(metrics, "palomar_monitor_clients") == 0
    assert value(metrics, "palomar_monitor_clients_refused_total") == 2
    assert value(metrics, "palomar_monitor_lost_events_total") == 0
    writer = EventFileWriter(tmp_path / "events", 1 << 20)
    metrics.add_event_file(writer)
    writer.write_batch(batch_of([b"one", b"two"]))
    writer.close()
    writer.write_batch(batch_of([b"three"]))
    assert value(metrics, "palomar_event_file_events_total") == 2
    assert value(metrics, "palomar_event_file_lost_events_total") == 1
    assert value(metrics, "palomar_event_file_bytes") == writer.size_bytes


async def test_recordings_tell_what_became_of_packets(metrics: Metrics, tmp_path: Path) -> None:
    node = RecordingNode(tmp_path, recordings_max=1)
    async with node.running() as recorder:
        metrics.add_recordings(recorder.sessions)
        started = await recorder.start(recordings_pb2.StartRequest(), OWN)
        with pytest.raises(Exhausted):
            await recorder.start(recordings_pb2.StartRequest(), OWN)
        node.push(frame())
        await node.until_captured(started.id, 1)
        assert value(metrics, "palomar_recordings") == 1
        assert value(metrics, "palomar_recordings_limit") == 1
        assert value(metrics, "palomar_recordings_refused_total") == 1
        assert (value(metrics, "palomar_recording_file_bytes") or 0) > 0
        await recorder.stop(started.id, OWN)
    assert value(metrics, "palomar_recordings_ended_total", end="stopped") == 1
    assert value(metrics, "palomar_recording_packets_total", stage="written") == 1
    assert value(metrics, "palomar_recording_bytes_total", stage="captured") == len(frame())
    assert value(metrics, "palomar_recording_packets_total", stage="lost_disk") == 0


def test_what_the_flight_recorder_lacks_is_told(metrics: Metrics) -> None:
    node = Dispatching(flight_recorder_bytes=1 << 16)
    metrics.add_flight_recorder(node.dispatcher)
    node.dispatcher.start()
    node.source.lose(3, 300)
    node.dispatcher.close()
    assert value(metrics, "palomar_flight_recorder_lost_packets_total") == 3


def test_a_name_that_is_taken_is_refused(metrics: Metrics) -> None:
    metrics.add_ring(Core().ring)
    with pytest.raises(ValueError, match="Duplicated"):
        metrics.registry.register(Counter("palomar_flows", "Mine.", registry=None))


def test_two_of_them_share_nothing() -> None:
    Metrics().add_ring(Core().ring)
    Metrics().add_ring(Core().ring)


def test_everything_has_a_name_of_ours_its_unit_and_a_text() -> None:
    metrics = Metrics()
    core = Core()
    metrics.add_ring(core.ring)
    metrics.add_pipeline(core.pipeline)
    metrics.add_surroundings(core.surroundings)
    metrics.add_hooks(core.hooks)
    families = list(text_string_to_metric_families(metrics.text().decode()))
    names = {family.name for family in families}
    assert all(name.startswith(("palomar_", "process_", "python_")) for name in names)
    assert {"palomar_build_info", "process_cpu_seconds"} <= names
    assert all(family.documentation for family in families)
    counters = [family for family in families if family.type == "counter"]
    assert all(sample.name.endswith("_total") for one in counters for sample in one.samples)
