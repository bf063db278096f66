"""All services over a real socket, as the settings have them."""

from __future__ import annotations

import asyncio
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.observer.observer_pb2_grpc import ObserverStub
from palomar_proto.palomar.v1 import (
    explanation_pb2,
    flow_batches_pb2,
    flow_field_pb2,
    flow_scope_pb2,
    hints_pb2,
    recordings_pb2,
    summary_pb2,
)
from palomar_proto.palomar.v1.flow_batches_pb2_grpc import FlowBatchesStub
from palomar_proto.palomar.v1.queries_pb2_grpc import QueriesStub
from palomar_proto.palomar.v1.recordings_pb2_grpc import RecordingsStub
from palomar_proto.recorder import recorder_pb2
from palomar_proto.recorder.recorder_pb2_grpc import RecorderStub
from palomar_server.api import Api
from palomar_server.errors import Refused
from palomar_server.settings import Settings
from palomar_server.testing import Core, flow_rows
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from palomar_proto.observer.observer_pb2_grpc import ObserverAsyncStub
    from palomar_proto.palomar.v1.flow_batches_pb2_grpc import FlowBatchesAsyncStub
    from palomar_proto.palomar.v1.queries_pb2_grpc import QueriesAsyncStub
    from palomar_proto.palomar.v1.recordings_pb2_grpc import RecordingsAsyncStub
    from palomar_proto.recorder.recorder_pb2_grpc import RecorderAsyncStub
    from palomar_server.observer import Observer
    from palomar_server.peer import Peer

FLOWS = 5
VERDICT = flow_field_pb2.FLOW_FIELD_VERDICT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Audience:
    """Counts who follows."""

    def __init__(self) -> None:
        self.following = 0

    def acquire(self) -> None:
        self.following += 1

    def release(self) -> None:
        self.following -= 1


class Node:
    """The API over a ring of some drops."""

    def __init__(self, path: Path, hook: object = None, **values: object) -> None:
        self.core = Core(capacity=65_535)
        if hook is not None:
            self.core.hooks.register(hook, "test")
        self.audience = Audience()
        # Nothing is read from anywhere: only what the settings say of the API counts here.
        self.settings = Settings.model_validate({"socket": path / "api.sock", **values})
        self.observer: Observer
        self.flows: ObserverAsyncStub
        self.batches: FlowBatchesAsyncStub
        self.queries: QueriesAsyncStub
        self.recordings: RecordingsAsyncStub
        self.recorder: RecorderAsyncStub

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Node]:
        core = self.core
        api = Api(
            self.settings,
            core.ring,
            core.encoder,
            core.surroundings,
            hooks=core.hooks,
            node_name="default/node",
        )
        waker = Waker(asyncio.get_running_loop())
        self.observer = api.observer(waker, self.audience)
        recorder = api.recorder()
        server = api.server(self.observer, waker, recorder)
        self.append(FLOWS)
        async with asyncio.timeout(60):
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"unix:{self.settings.socket}") as channel:
                    self.flows = ObserverStub(channel)
                    self.batches = FlowBatchesStub(channel)
                    self.queries = QueriesStub(channel)
                    self.recordings = RecordingsStub(channel)
                    self.recorder = RecorderStub(channel)
                    yield self
            finally:
                self.observer.stop()
                await server.stop(0)

    def append(self, count: int) -> None:
        self.core.ring.append(flow_rows(count, verdict=flow_pb2.DROPPED, drop_reason=133))

    async def sizes(self, options: flow_batches_pb2.BatchOptions | None = None) -> list[int]:
        """Responses in each batch of all flows."""
        request = observer_pb2.GetFlowsRequest(number=1_000_000)
        if options is not None:
            request.extensions.Pack(options)
        batches = [batch async for batch in self.batches.GetFlowBatches(request)]
        return [len(batch.responses) for batch in batches if batch.responses]

    async def calls(self, *filters: flow_pb2.FlowFilter) -> dict[str, grpc.StatusCode]:
        """How each call that takes filters ends; OK where it answers."""
        request = observer_pb2.GetFlowsRequest(whitelist=filters, number=1)
        scope = flow_scope_pb2.FlowScope(whitelist=filters)
        codes: dict[str, grpc.StatusCode] = {}
        answers: dict[str, Any] = {
            "GetFlows": lambda: anext(aiter(self.flows.GetFlows(request))),
            "GetFlowBatches": lambda: anext(aiter(self.batches.GetFlowBatches(request))),
            "FilterHints": lambda: self.queries.FilterHints(
                hints_pb2.FilterHintsRequest(field=VERDICT, scope=scope)
            ),
            "Summarize": lambda: self.queries.Summarize(summary_pb2.SummarizeRequest(scope=scope)),
        }
        for name, answer in answers.items():
            codes[name], _ = await ending(answer())
        return codes


async def ending(answer: Any) -> tuple[grpc.StatusCode, str]:
    """The status of a call, and its text; a stream may have nothing to give."""
    try:
        await answer
    except StopAsyncIteration:
        pass
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


async def test_the_services_are_served_together(tmp_path: Path) -> None:
    async with Node(tmp_path).serving() as node:
        status = await node.flows.ServerStatus(observer_pb2.ServerStatusRequest())
        assert (status.num_flows, status.max_flows) == (FLOWS, 65_535)
        request = observer_pb2.GetFlowsRequest(number=100)
        found = [response.flow async for response in node.flows.GetFlows(request)]
        assert len(found) == FLOWS
        assert await node.sizes() == [FLOWS]
        hints = await node.queries.FilterHints(hints_pb2.FilterHintsRequest(field=VERDICT))
        assert [hint.value for hint in hints.hints] == ["DROPPED"]
        summary = await node.queries.Summarize(summary_pb2.SummarizeRequest())
        assert summary.total.flows == FLOWS
        # All of them speak of the same events.
        explained = await node.queries.Explain(explanation_pb2.ExplainRequest(uuid=found[2].uuid))
        assert explained.flow == found[2]


async def test_the_socket_has_the_mode_of_the_settings(tmp_path: Path) -> None:
    async with Node(tmp_path, socket_mode="0600").serving() as node:
        assert stat.S_IMODE(node.settings.socket.stat().st_mode) == 0o600


@pytest.mark.parametrize("setting", ["streams_max", "streams_max_per_peer"])
async def test_streams_are_bounded_by_the_settings(tmp_path: Path, setting: str) -> None:
    async with Node(tmp_path, **{setting: 1}).serving() as node:
        follow = node.flows.GetFlows(observer_pb2.GetFlowsRequest(follow=True, number=1))
        await anext(aiter(follow))
        assert node.audience.following == 1
        request = observer_pb2.GetFlowsRequest()
        for stream in (node.flows.GetFlows(request), node.batches.GetFlowBatches(request)):
            code, text = await ending(anext(aiter(stream)))
            assert code == EXHAUSTED
            assert text.endswith(setting)
        follow.cancel()
        while node.audience.following:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("setting", ["clients_max", "clients_max_per_peer"])
async def test_clients_are_bounded_by_the_settings(tmp_path: Path, setting: str) -> None:
    async with Node(tmp_path, **{setting: 1}).serving() as node:
        await node.flows.ServerStatus(observer_pb2.ServerStatusRequest())
        reader, writer = await asyncio.open_unix_connection(str(node.settings.socket))
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass  # cut off, which is as good
        finally:
            writer.close()


async def test_batches_are_bounded_by_the_settings(tmp_path: Path) -> None:
    async with Node(tmp_path, batch_responses_max=2).serving() as node:
        assert await node.sizes() == [2, 2, 1]
        # Clients may want less, but not more.
        assert await node.sizes(flow_batches_pb2.BatchOptions(responses_max=3)) == [2, 2, 1]
        assert await node.sizes(flow_batches_pb2.BatchOptions(responses_max=1)) == [1] * 5


async def test_bytes_of_batches_are_bounded_by_the_settings(tmp_path: Path) -> None:
    async with Node(tmp_path, batch_bytes_max=1_024).serving() as node:
        node.append(20)
        sizes = await node.sizes()
        assert sum(sizes) == FLOWS + 20
        assert len(sizes) > 1


async def test_queries_at_once_are_bounded_by_the_settings(tmp_path: Path) -> None:
    async with Node(tmp_path, queries_max=1).serving() as node:
        # Enough for many steps, so that the others come while one is worked on.
        node.append(60_000)
        grouping = summary_pb2.Grouping(field=VERDICT)
        request = summary_pb2.SummarizeRequest(group_by=[grouping])
        found = await asyncio.gather(*(ending(node.queries.Summarize(request)) for _ in range(8)))
        refused = [text for code, text in found if code == EXHAUSTED]
        assert refused
        assert all(text.endswith("queries_max") for text in refused)
        assert grpc.StatusCode.OK in {code for code, _ in found}


@pytest.mark.parametrize(
    ("setting", "filters"),
    [
        ("filters_max", [flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])] * 3),
        ("filter_values_max", [flow_pb2.FlowFilter(source_port=["1", "2", "3"])]),
        (
            "filter_expressions_max",
            [
                flow_pb2.FlowFilter(
                    experimental=flow_pb2.FlowFilter.Experimental(cel_expression=["true"] * 3)
                )
            ],
        ),
        (
            "filter_patterns_max",
            [
                flow_pb2.FlowFilter(
                    http_path=["a", "b", "c"], event_type=[flow_pb2.EventTypeFilter(type=129)]
                )
            ],
        ),
    ],
)
async def test_filters_of_all_services_are_bounded_by_the_settings(
    tmp_path: Path, setting: str, filters: list[flow_pb2.FlowFilter]
) -> None:
    async with Node(tmp_path, **{setting: 2}).serving() as node:
        assert set((await node.calls(*filters)).values()) == {INVALID}
        explain = explanation_pb2.ExplainRequest(
            last=explanation_pb2.ExplainRequest.Last(whitelist=filters)
        )
        assert (await ending(node.queries.Explain(explain)))[0] == INVALID
    async with Node(tmp_path, **{setting: 3}).serving() as node:
        assert INVALID not in (await node.calls(*filters)).values()


async def test_recordings_and_hubbles_recorder_are_served(tmp_path: Path) -> None:
    values = {
        "recordings_directory": tmp_path / "recordings",
        "database_url": f"sqlite+aiosqlite:///{tmp_path}/catalogue.db",
    }
    async with Node(tmp_path, **values).serving() as node:
        assert not (await node.recordings.List(recordings_pb2.ListRequest())).recordings
        code, text = await ending(node.recordings.Start(recordings_pb2.StartRequest()))
        assert code == grpc.StatusCode.FAILED_PRECONDITION
        assert "captures no packets" in text
        call = node.recorder.Record(iter((recorder_pb2.RecordRequest(),)))
        code, text = await ending(anext(aiter(call)))
        assert code == INVALID
        assert "expected start request" in text


async def test_an_extension_that_is_something_else_is_refused(tmp_path: Path) -> None:
    async with Node(tmp_path).serving() as node:
        request = observer_pb2.GetFlowsRequest(extensions=AnyMessage(type_url="a/b"))
        code, text = await ending(anext(aiter(node.batches.GetFlowBatches(request))))
        assert code == INVALID
        assert "extensions" in text


class Denies:
    """A hook that serves nobody."""

    def on_get_flows(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer
    ) -> observer_pb2.GetFlowsRequest | None:
        raise Refused("not for you")


async def test_what_a_hook_refuses_no_service_tells(tmp_path: Path) -> None:
    async with Node(tmp_path, hook=Denies()).serving() as node:
        denied = grpc.StatusCode.PERMISSION_DENIED
        assert set((await node.calls()).values()) == {denied}
        explain = explanation_pb2.ExplainRequest(uuid=node.core.encoder.uuid(0))
        assert (await ending(node.queries.Explain(explain)))[0] == denied
