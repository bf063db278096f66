from collections.abc import Iterator
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from palomar import operations
from palomar.errors import PalomarError, ServerError, ServerUnavailable, Unsupported
from palomar.noted_calls import AsyncNotedCall, NotedCall
from palomar.rpc import channel_options, translated
from palomar.server_version import ServerVersion, ServerVersions
from palomar.target import parse_target
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse

HEADERS = {"hubble-server-version": "1.19.4"}
LACKING = (grpc.StatusCode.UNIMPLEMENTED, "no such method")
FLOWS = operations.flows(GetFlowsRequest())

Called = tuple[list[GetFlowsResponse], ServerVersion | None, PalomarError | None]


def read(server: FakeObserver, instead: str = "") -> Called:
    """Read the flows; what was read, the version that was noted, and the error at the end."""
    versions, answers = ServerVersions(), list[GetFlowsResponse]()
    target = parse_target(server.target)
    with grpc.insecure_channel(target.address) as channel:
        method: Any = channel.unary_stream(FLOWS.method, None, FLOWS.read)
        call = NotedCall(cast("Any", method(FLOWS.request)), versions, target, instead)
        try:
            with translated(target):
                answers.extend(call)
        except PalomarError as error:
            return answers, versions.last, error
    return answers, versions.last, None


async def read_async(server: FakeObserver, instead: str = "") -> Called:
    versions, answers = ServerVersions(), list[GetFlowsResponse]()
    target = parse_target(server.target)
    async with grpc.aio.insecure_channel(target.address) as channel:
        method: Any = channel.unary_stream(FLOWS.method, None, FLOWS.read)
        call: AsyncNotedCall[GetFlowsResponse] = AsyncNotedCall(
            method(FLOWS.request), versions, target, instead
        )
        try:
            with translated(target):
                async for answer in call:
                    answers.append(answer)
        except PalomarError as error:
            return answers, versions.last, error
    return answers, versions.last, None


async def both(server: FakeObserver, instead: str = "") -> Iterator[Called]:
    return iter((read(server, instead), await read_async(server, instead)))


@pytest.mark.parametrize("count", [1, 3])
async def test_answers_pass_and_the_version_is_noted(count: int) -> None:
    with FakeObserver([make_response()] * count, headers=HEADERS) as server:
        for answers, version, error in await both(server):
            assert answers == [make_response()] * count
            assert version == ServerVersion(node="1.19.4")
            assert error is None


async def test_stream_without_answers_tells_its_version_mostly() -> None:
    with FakeObserver(headers=HEADERS) as server:
        assert read(server) == ([], ServerVersion(node="1.19.4"), None)
        # grpc.aio forgets what came first where the end of the call overtakes it.
        answers, version, error = await read_async(server)
    assert (answers, error) == ([], None)
    assert version in {None, ServerVersion(node="1.19.4")}


async def test_method_that_is_lacking_is_told_with_advice_only_where_there_is_some() -> None:
    with FakeObserver(error=LACKING) as server:
        for _, _, error in await both(server, "ask another"):
            assert isinstance(error, Unsupported)
            assert "no such method; ask another" in str(error)
        for _, _, error in await both(server):
            assert isinstance(error, Unsupported)
            assert str(error).endswith("no such method")


async def test_advice_does_not_go_with_other_errors() -> None:
    with FakeObserver(error=(grpc.StatusCode.UNAVAILABLE, "later")) as server:
        for _, _, error in await both(server, "ask another"):
            assert isinstance(error, ServerUnavailable)
            assert "ask another" not in str(error)


def test_cancelled_call_ends() -> None:
    with FakeObserver([make_response()], hold=True) as server:
        target = parse_target(server.target)
        with grpc.insecure_channel(target.address) as channel:
            method: Any = channel.unary_stream(FLOWS.method, None, FLOWS.read)
            call = NotedCall(cast("Any", method(FLOWS.request)), ServerVersions(), target, "")
            with translated(target, cancelled_ends=True):
                for answer in call:
                    assert answer == make_response()
                    assert call.cancel()
        assert server.cancelled.wait(timeout=10)


def test_a_call_that_was_left_keeps_nothing_in_its_channel() -> None:
    with (
        FakeObserver([make_response()] * 3, hold=True) as server,
        grpc.insecure_channel(server.target, channel_options(5)) as channel,
    ):
        method: Any = channel.unary_stream(FLOWS.method, None, FLOWS.read)

        def call() -> tuple[Any, NotedCall[GetFlowsResponse]]:
            inner = method(FLOWS.request)
            noted = NotedCall(inner, ServerVersions(), parse_target(server.target), "")
            return inner, cast("NotedCall[GetFlowsResponse]", noted)

        left, noted = call()
        for _ in noted:
            break
        unread, noted = call()
        noted.cancel()
        dropped, noted = call()
        del noted
        for one in (left, unread, dropped):
            assert not one._state.due


@pytest.mark.parametrize("hold", [False, True])
async def test_an_answer_that_cannot_be_read_ends_the_call(*, hold: bool) -> None:
    garbage: Any = _Garbage()
    with FakeObserver([garbage], hold=hold, batched=False) as server:
        _, _, error = read(server)
        ended_as_it_must(error, server if hold else None)
        server.cancelled.clear()
        _, _, error = await read_async(server)
        ended_as_it_must(error, server if hold else None)


def ended_as_it_must(error: PalomarError | None, held: FakeObserver | None) -> None:
    assert isinstance(error, ServerError)
    assert "deserializing" in str(error)
    assert held is None or held.cancelled.wait(10)


class _Garbage:
    @staticmethod
    def SerializeToString() -> bytes:  # noqa: N802 - as messages have it
        return b"\xff\xff\xff"


def test_one_that_ctrl_c_left_half_made_goes_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call: NotedCall[GetFlowsResponse] = NotedCall.__new__(NotedCall)
    call.__del__()
    assert capsys.readouterr().err == ""
