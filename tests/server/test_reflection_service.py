from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from palomar_server.errors import Exhausted, TooLate
from palomar_server.peer import OWN
from palomar_server.reflection_service import ReflectionService
from tests.server.grpc_testbed import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Request = reflection_pb2.ServerReflectionRequest
ALPHA, V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"


def file_of(response: Any) -> FileDescriptorProto:
    [content] = response.file_descriptor_response.file_descriptor_proto
    return FileDescriptorProto.FromString(content)


def test_services_are_listed_with_reflection_itself() -> None:
    answer = ReflectionService(["x.Y", "a.B"]).answer(Request(list_services=""))
    assert [service.name for service in answer.list_services_response.service] == [
        "a.B",
        f"{V1}.ServerReflection",
        f"{ALPHA}.ServerReflection",
        "x.Y",
    ]


@pytest.mark.parametrize("package", [ALPHA, V1])
def test_both_versions_describe_themselves(package: str) -> None:
    asked = Request(file_containing_symbol=f"{package}.ServerReflection")
    file = file_of(ReflectionService([]).answer(asked))
    assert file.package == package
    [method] = file.service[0].method
    assert method.input_type == f".{package}.ServerReflectionRequest"
    again = ReflectionService([]).answer(Request(file_by_filename=file.name))
    assert file_of(again) == file


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Request(file_by_filename="no.proto"), 5),
        (Request(file_containing_symbol="no.Symbol"), 5),
        (Request(all_extension_numbers_of_type="observer.GetFlowsRequest"), 5),
        (Request(file_containing_extension=reflection_pb2.ExtensionRequest()), 5),
        (Request(), 3),
    ],
)
def test_what_there_is_not_is_an_answer_too(
    asked: reflection_pb2.ServerReflectionRequest, code: int
) -> None:
    assert ReflectionService([]).answer(asked).error_response.error_code == code


async def nothing() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    await asyncio.Event().wait()
    yield Request()


async def test_who_looks_around_without_end_has_to_go() -> None:
    service = ReflectionService([], idle_s=0.01)
    with pytest.raises(TooLate):
        await anext(service.info(nothing(), OWN))


async def one() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    yield Request(list_services="")


async def test_conversations_are_limited() -> None:
    service = ReflectionService([], conversations_max=1)
    first = service.info(one(), OWN)
    await anext(first)
    with pytest.raises(Exhausted, match="conversations_max"):
        await anext(service.info(one(), OWN))
    await first.aclose()
    await anext(service.info(one(), OWN))


async def test_a_stock_client_finds_all_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "s"

    def look() -> list[str]:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = DescriptorPool(database)
            methods = []
            for name in database.get_services():
                service = pool.FindServiceByName(name)
                methods += [f"{name}/{method}" for method in service.methods_by_name]
            flow = pool.FindMessageTypeByName("flow.Flow")
            assert flow.fields_by_name["drop_reason_desc"].number == 25
            return methods

    async with Transport(path).serving():
        methods = await asyncio.to_thread(look)
    assert {"observer.Observer/GetFlows", "grpc.health.v1.Health/Watch"} <= {*methods}
    assert f"{V1}.ServerReflection/ServerReflectionInfo" in methods


async def test_version_one_answers_like_the_other(tmp_path: Path) -> None:
    path = tmp_path / "s"
    questions = [Request(host="h", list_services=""), Request(file_containing_symbol="flow.Flow")]
    async with (
        Transport(path).serving(),
        grpc.aio.insecure_channel(f"unix:{path}") as channel,
    ):
        ask = channel.stream_stream(
            f"/{V1}.ServerReflection/ServerReflectionInfo",
            request_serializer=Request.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        alpha = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        answers = [[answer async for answer in call(iter(questions))] for call in (ask, alpha)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 2
    assert answers[0][0].valid_host == "h"
