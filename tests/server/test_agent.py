"""The agent between sources that a test makes up and a real pipeline."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from palomar_bpf.batch import Loss, LossKind, PayloadBatch
from palomar_bpf.errors import CaptureError
from palomar_server.agent import Agent
from palomar_server.endpoints import EndpointTable
from palomar_server.event_file import EventFileReader, EventFileWriter
from palomar_server.source import END
from palomar_server.table import Kind
from palomar_server.testing import (
    Core,
    FakePausableSource,
    FakeSource,
    batch_of,
    drop_payload,
    packet,
    trace_payload,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from palomar_server.source import SourceItem
    from palomar_server.surroundings import Context

WEB = {"at_ns": 0, "addresses": ["192.0.2.1"], "pod_name": "web-0"}
DEADLINE_S = 10


class Ended:
    """Notes how the agent says that the sources have ended."""

    def __init__(self) -> None:
        self.calls: list[tuple[Exception | None, str]] = []
        self._event = threading.Event()

    def __call__(self, error: Exception | None) -> None:
        self.calls.append((error, threading.current_thread().name))
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(DEADLINE_S)


class FakeListener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.batches: list[PayloadBatch] = []

    def on_batch(self, batch: PayloadBatch) -> None:
        self.batches.append(batch)


def agent_of(core: Core, ended: Ended, **sources: FakeSource) -> Agent:
    return Agent(sources, core.surroundings, core.pipeline, core.ring, on_end=ended)


def run(
    core: Core, *items: SourceItem | Exception, event_file: EventFileWriter | None = None
) -> Ended:
    ended = Ended()
    agent = agent_of(core, ended, only=FakeSource(*items))
    if event_file is not None:
        agent.record(event_file)
    agent.start()
    ended.wait()
    agent.stop()
    return ended


def eventually(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_context_holds_for_the_batches_behind_it() -> None:
    core = Core()
    batch = batch_of([trace_payload(packet())])
    ended = run(core, batch, {"endpoints": {"web": WEB}}, batch, END)
    assert core.rows()["source_endpoint"].tolist() == [0, 1]
    assert ended.calls == [(None, "palomar-agent-only")]


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


def test_a_payload_that_lies_about_its_time_frees_no_rows_for_ever() -> None:
    core = Core(capacity=1, endpoints=EndpointTable(rows_max=1, grace_ns=0))
    later = {"at_ns": 1 << 62, "addresses": ["192.0.2.1"]}
    run(
        core,
        {"endpoints": {"web": WEB}},
        batch_of([trace_payload(packet(), extension={"time_ns": (1 << 64) - 1})]),
        # This is when its time would become the oldest that matters.
        {"endpoints": {"web": {"removed_ns": 1 << 62}}},
        {"endpoints": {"db": {**later, "pod_name": "db-0"}}},
        END,
    )
    assert core.surroundings.endpoints.endpoint(1).pod_name == "web-0"
    assert core.surroundings.endpoints.refused == 1


def test_the_failure_of_the_only_source_is_told() -> None:
    core, failure = Core(), OSError("the file is damaged")
    with capture_logs() as logs:
        ended = run(core, failure, batch_of([trace_payload(packet())]))
    assert ended.calls == [(failure, "palomar-agent-only")]
    assert len(core.ring) == 0
    assert [entry["event"] for entry in logs] == ["the agent failed"]


def test_all_sources_feed_one_pipeline() -> None:
    core, ended = Core(capacity=1023), Ended()
    batch = batch_of([trace_payload(packet())])
    sources = {name: FakeSource(*[batch] * 100, END) for name in ("live", "cilium")}
    agent = agent_of(core, ended, **sources)
    agent.start()
    ended.wait()
    agent.stop()
    assert len(core.ring) == 200
    assert len(ended.calls) == 1


def test_a_source_that_fails_leaves_the_others_going() -> None:
    core, ended = Core(), Ended()
    failing, other = FakeSource(), FakeSource()
    agent = agent_of(core, ended, live=failing, cilium=other)
    agent.start()
    with capture_logs() as logs:
        failing.give(CaptureError("no perf ring"))
        eventually(lambda: bool(logs))
    assert logs == [
        {
            "event": "a source failed; the others go on",
            "log_level": "error",
            "source": "live",
            "error": "no perf ring",
            "left": 1,
        }
    ]
    other.give(batch_of([trace_payload(packet())]))
    eventually(lambda: len(core.ring) == 1)
    assert ended.calls == []
    last = CaptureError("no socket")
    other.give(last)
    ended.wait()
    assert ended.calls == [(last, "palomar-agent-cilium")]
    agent.stop()


def test_losses_of_all_sources_are_counted() -> None:
    core, ended = Core(), Ended()
    lost = batch_of([], losses=(Loss(LossKind.PERF_RING, 0, 5),))
    agent = agent_of(core, ended, live=FakeSource(lost, END), cilium=FakeSource(lost, END))
    agent.start()
    ended.wait()
    assert core.pipeline.lost == {LossKind.PERF_RING: 10}


def test_stopping_ends_reads_that_wait_and_tells_nobody() -> None:
    ended = Ended()
    agent = agent_of(Core(), ended, live=FakeSource(), cilium=FakeSource())
    agent.start()
    agent.stop()
    agent.stop()
    assert ended.calls == []
    assert not any(thread.is_alive() for thread in agent._threads)


def test_an_agent_that_was_never_started_can_be_stopped() -> None:
    agent_of(Core(), Ended(), only=FakeSource()).stop()


def test_a_wake_up_without_stop_goes_on_reading() -> None:
    core, ended, source = Core(), Ended(), FakeSource()
    agent = agent_of(core, ended, only=source)
    agent.start()
    source.wake()
    source.give(batch_of([trace_payload(packet())]), END)
    ended.wait()
    agent.stop()
    assert len(core.ring) == 1


def test_a_source_rests_while_nobody_wants_events() -> None:
    ended, source = Ended(), FakePausableSource()
    agent = agent_of(Core(), ended, live=source, replay=FakeSource())
    agent.start()
    assert source.changes.get(timeout=DEADLINE_S) == "paused"
    agent.acquire()
    assert source.changes.get(timeout=DEADLINE_S) == "resumed"
    agent.acquire()
    agent.release()
    listener = FakeListener()
    agent.add_listener(listener)
    agent.release()
    source.give(batch_of([trace_payload(packet())]))
    eventually(lambda: len(listener.batches) == 1)
    assert source.changes.empty()
    agent.remove_listener(listener)
    agent.remove_listener(listener)
    assert source.changes.get(timeout=DEADLINE_S) == "paused"
    # Context comes all the same.
    source.give({"node_name": "default/resting"}, END)
    eventually(lambda: agent._surroundings.node_name == "default/resting")
    agent.stop()
    agent.acquire()
    agent.release()
    assert ended.calls == []


def test_a_source_that_is_wanted_from_the_start_never_rests() -> None:
    ended, source = Ended(), FakePausableSource(END)
    agent = agent_of(Core(), ended, live=source)
    agent.acquire()
    agent.start()
    ended.wait()
    assert source.changes.empty()


def test_consumers_that_come_and_go_at_once_leave_the_source_as_the_last_wants_it() -> None:
    source = FakePausableSource()
    agent = agent_of(Core(), Ended(), live=source)
    agent.start()

    def come_and_go() -> None:
        for _ in range(500):
            agent.acquire()
            agent.release()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    agent.acquire()
    source.give({"node_name": "default/behind-all-that"})
    eventually(lambda: agent._surroundings.node_name == "default/behind-all-that")
    agent.stop()
    seen = [source.changes.get_nowait() for _ in range(source.changes.qsize())]
    assert seen == ["paused", "resumed"] * (len(seen) // 2)
    assert seen


class CannotResume(FakePausableSource):
    """Fails when it is wanted."""

    def resume(self) -> None:
        raise CaptureError("the tracepoint is taken")


def test_a_source_that_cannot_be_resumed_has_failed() -> None:
    ended, source = Ended(), CannotResume()
    agent = agent_of(Core(), ended, live=source)
    agent.start()
    assert source.changes.get(timeout=DEADLINE_S) == "paused"
    agent.acquire()
    ended.wait()
    assert [str(error) for error, _ in ended.calls] == ["the tracepoint is taken"]


def test_listeners_hear_batches_as_they_are_and_the_pipeline_too() -> None:
    core, first, second = Core(), FakeListener(), FakeListener()
    agent = agent_of(core, Ended())
    agent.add_listener(first)
    agent.add_listener(second)
    batch = batch_of([trace_payload(packet())], losses=(Loss(LossKind.RATE_LIMIT, 1, 3),))
    agent.take(batch)
    agent.remove_listener(second)
    agent.take(batch)
    assert [one is batch for one in first.batches] == [True, True]
    assert [one is batch for one in second.batches] == [True]
    assert len(core.ring) == 4


class FailingListener:
    """Has a defect."""

    def on_batch(self, batch: PayloadBatch) -> None:
        raise RuntimeError(f"{len(batch)} is too much")


def test_a_listener_that_fails_is_removed_and_harms_nobody() -> None:
    core, other = Core(), FakeListener()
    agent = agent_of(core, Ended())
    agent.add_listener(FailingListener())
    agent.add_listener(other)
    with capture_logs() as logs:
        for _ in range(2):
            agent.take(batch_of([trace_payload(packet())]))
    assert [entry["event"] for entry in logs] == ["a listener failed and is removed"]
    assert len(other.batches) == len(core.ring) == 2
    agent.remove_listener(other)
    assert agent._consumers == 0


def test_endpoints_that_come_and_go_are_told_like_any_event() -> None:
    core, listener = Core(), FakeListener()
    agent = agent_of(core, Ended())
    agent.add_listener(listener)
    agent.take({"started_ns": 1})
    agent.take({"endpoints": {"web": {**WEB, "id": 7, "at_ns": 2}}})
    agent.take({"endpoints": {"web": {"removed_ns": 3}}})
    assert [batch.payload(0)[0] for batch in listener.batches] == [130, 130, 130]
    assert core.rows()["kind"].tolist() == [Kind.AGENT] * 3
    assert core.rows()["time_ns"].tolist() == [1, 2, 3]


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


def test_a_replay_tells_of_endpoints_what_the_recording_agent_told(
    event_file: EventFileWriter,
) -> None:
    live, replayed = Core(), Core()
    contexts: list[Context] = [
        {"started_ns": 1},
        {"endpoints": {"web": {**WEB, "id": 7, "at_ns": 2}}},
        {"endpoints": {"web": {"removed_ns": 3}}},
    ]
    run(live, *contexts, END, event_file=event_file)
    event_file.close()
    with EventFileReader(event_file.path) as reader:
        items = list(reader)
    assert items == contexts
    run(replayed, *items, END)
    assert replayed.rows().tobytes() == live.rows().tobytes()
    assert len(replayed.ring) == 3


class AttentiveSource(FakeSource):
    """Notes whether somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bool] = []

    def attend(self, *, watched: bool) -> None:
        self.told.append(watched)


def test_sources_are_told_when_the_first_one_waits_and_when_the_last_one_went() -> None:
    source = AttentiveSource()
    agent = agent_of(Core(), Ended(), only=source)
    agent.acquire(waits=False)
    assert source.told == []
    agent.acquire()
    agent.acquire()
    agent.release()
    assert source.told == [True]
    agent.release()
    assert source.told == [True, False]


def test_who_is_apart_has_the_surroundings_for_itself() -> None:
    core = Core()
    agent = agent_of(core, Ended())
    taken = threading.Event()

    def take() -> None:
        agent.take({"node_name": "default/other"})
        taken.set()

    thread = threading.Thread(target=take)
    with agent.apart():
        thread.start()
        assert not taken.wait(0.05)
        assert core.surroundings.node_name == ""
    thread.join()
    assert core.surroundings.node_name == "default/other"


def test_whoever_wants_to_know_hears_of_context_and_not_of_batches() -> None:
    core = Core()
    agent = agent_of(core, Ended())
    names: list[str] = []
    agent.on_context(lambda: names.append(core.surroundings.node_name))
    agent.take({"node_name": "default/a"})
    agent.take(batch_of([trace_payload(packet())]))
    agent.take({"node_name": "default/b"})
    assert names == ["default/a", "default/b"]
