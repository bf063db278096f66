from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from palomar_bpf.batch import PayloadBatch
from palomar_server.agent import Agent
from palomar_server.endpoints import EndpointTable
from palomar_server.event_file import EventFileReader, EventFileWriter
from palomar_server.source import END
from palomar_server.testing import Core, batch_of, drop_payload, packet, trace_payload

if TYPE_CHECKING:
    from pathlib import Path

    from palomar_server.source import SourceItem

WEB = {"at_ns": 0, "addresses": ["192.0.2.1"], "pod_name": "web-0"}


class FakeSource:
    """Gives what a test puts into it, in order."""

    def __init__(self, *items: SourceItem | Exception) -> None:
        self._items: queue.SimpleQueue[SourceItem | Exception | None] = queue.SimpleQueue()
        for item in items:
            self._items.put(item)

    def read(self, timeout_s: float | None = None) -> SourceItem | None:
        item = self._items.get(timeout=timeout_s)
        if isinstance(item, Exception):
            raise item
        return item

    def wake(self) -> None:
        self._items.put(None)

    def close(self) -> None:
        raise AssertionError("the source is its owner's to close")


class Ended:
    """Notes how the agent says that the source has ended."""

    def __init__(self) -> None:
        self.calls: list[tuple[Exception | None, str]] = []
        self._event = threading.Event()

    def __call__(self, error: Exception | None) -> None:
        self.calls.append((error, threading.current_thread().name))
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(10)


def agent_of(
    core: Core, source: FakeSource, ended: Ended, event_file: EventFileWriter | None = None
) -> Agent:
    return Agent(
        source,
        core.surroundings,
        core.pipeline,
        core.ring,
        event_file=event_file,
        on_end=ended,
    )


def run(
    core: Core, *items: SourceItem | Exception, event_file: EventFileWriter | None = None
) -> Ended:
    ended = Ended()
    agent = agent_of(core, FakeSource(*items), ended, event_file)
    agent.start()
    ended.wait()
    agent.stop()
    return ended


def test_context_holds_for_the_batches_behind_it() -> None:
    core = Core()
    batch = batch_of([trace_payload(packet())])
    ended = run(core, batch, {"endpoints": {"web": WEB}}, batch, END)
    assert core.rows()["source_endpoint"].tolist() == [0, 1]
    assert ended.calls == [(None, "palomar-agent")]


def test_the_oldest_flow_of_the_ring_frees_endpoint_rows() -> None:
    core = Core(capacity=1, endpoints=EndpointTable(rows_max=1, grace_ns=0))
    run(
        core,
        {"endpoints": {"web": WEB}},
        {"endpoints": {"web": {"removed_ns": 5}}},
        batch_of([trace_payload(packet())]),
        {"endpoints": {"db": {**WEB, "pod_name": "db-0"}}},
        END,
    )
    assert core.surroundings.endpoints.endpoint(1).pod_name == "db-0"


def test_a_failure_ends_the_agent_and_is_told() -> None:
    core, failure = Core(), OSError("the file is damaged")
    with capture_logs() as logs:
        ended = run(core, failure, batch_of([trace_payload(packet())]))
    assert ended.calls == [(failure, "palomar-agent")]
    assert len(core.ring) == 0
    assert [entry["event"] for entry in logs] == ["the agent failed"]


def test_stopping_ends_a_read_that_waits_and_tells_nobody() -> None:
    ended = Ended()
    agent = agent_of(Core(), FakeSource(), ended)
    agent.start()
    agent.stop()
    agent.stop()
    assert ended.calls == []
    assert not agent._thread.is_alive()


def test_an_agent_that_was_never_started_can_be_stopped() -> None:
    agent_of(Core(), FakeSource(), Ended()).stop()


def test_a_wake_up_without_stop_goes_on_reading() -> None:
    core, ended, source = Core(), Ended(), FakeSource()
    agent = agent_of(core, source, ended)
    agent.start()
    source.wake()
    source._items.put(batch_of([trace_payload(packet())]))
    source._items.put(END)
    ended.wait()
    agent.stop()
    assert len(core.ring) == 1


@pytest.fixture
def event_file(tmp_path: Path) -> EventFileWriter:
    return EventFileWriter(tmp_path / "events", 1 << 20)


def test_a_recording_holds_what_is_needed_to_decode_it_again(event_file: EventFileWriter) -> None:
    core = Core(find_symbol=lambda _: "nft_do_chain")
    context = {"reasons": {"2": "NETFILTER_DROP"}}
    batch = batch_of([drop_payload(packet(), extension={"drop_reason": 2, "location": 9})])
    run(core, context, batch, batch, END, event_file=event_file)
    event_file.close()
    with EventFileReader(event_file.path) as reader:
        items = list(reader)
    assert items[:2] == [context, {"symbols": {"9": "nft_do_chain"}}]
    assert all(isinstance(item, PayloadBatch) for item in items[2:])
    assert len(items) == 4
