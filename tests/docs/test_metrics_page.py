"""The page about metrics has a row for each of them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from palomar_server.event_file import EventFileWriter
from palomar_server.followers import Followers
from palomar_server.grpc_server import GrpcServer
from palomar_server.metrics import Metrics
from palomar_server.monitor_socket import MonitorServer
from palomar_server.streams import Streams
from palomar_server.testing import Core, batch_of
from palomar_server.waker import Waker
from tests.server.recording.dispatch_testbed import Dispatching
from tests.server.recording.recording_testbed import RecordingNode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


class Hook:
    def on_decoded_event(self, batch: object) -> None: ...


async def test_the_page_has_every_metric_with_its_labels(tmp_path: Path) -> None:
    core = Core()
    core.hooks.register(Hook(), "hook")
    core.pipeline.consume(batch_of([b"\x04"]))
    metrics = Metrics(process=False)
    metrics.add_ring(core.ring)
    metrics.add_pipeline(core.pipeline)
    metrics.add_surroundings(core.surroundings)
    metrics.add_hooks(core.hooks)
    waker = Waker(asyncio.get_running_loop())
    metrics.add_streams(Streams(), Followers(core.ring, core.encoder, waker))
    metrics.add_grpc(GrpcServer([], socket=tmp_path / "api.sock", socket_mode=0o600, listen=None))
    metrics.add_monitor(MonitorServer(tmp_path / "monitor.sock"))
    writer = EventFileWriter(tmp_path / "events", 1_000)
    metrics.add_event_file(writer)
    writer.close()
    async with RecordingNode(tmp_path).running(connected=False) as recorder:
        metrics.add_recordings(recorder.sessions)
    metrics.add_flight_recorder(Dispatching().dispatcher)
    served = {
        (sample.name, tuple(sample.labels))
        for family in metrics.registry.collect()
        for sample in family.samples
    }
    rows = re.findall(r"^\| `(palomar_\w+)` \| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    told = {(name, tuple(re.findall(r"`(\w+)`", labels))) for name, labels in rows}
    assert told == served
