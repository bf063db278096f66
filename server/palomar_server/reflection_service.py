"""Server reflection: lets grpcurl and `hubble reflect` see what is served, and call it.

Both v1 and v1alpha, which differ in nothing but their names: the descriptors of v1, which there is
no package for, are made from those of v1alpha.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2

from palomar_server.errors import Exhausted, TooLate
from palomar_server.grpc_service import Service
from palomar_server.grpc_status import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    from google.protobuf.descriptor import FileDescriptor

    from palomar_server.peer import Peer

_ALPHA = "grpc.reflection.v1alpha"
_V1 = "grpc.reflection.v1"
SERVICE_NAMES = (f"{_V1}.ServerReflection", f"{_ALPHA}.ServerReflection")
_IDLE_S = 10.0
"""Between two requests: a client that looks around sends them one after the other."""

_Request: TypeAlias = reflection_pb2.ServerReflectionRequest
_Response: TypeAlias = reflection_pb2.ServerReflectionResponse


def _v1_file() -> FileDescriptor:
    """The descriptors of v1, in a pool of their own."""
    proto = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(proto)
    proto.name, proto.package = "grpc/reflection/v1/reflection.proto", _V1
    proto.ClearField("options")
    for message in proto.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(_ALPHA, _V1)
    for service in proto.service:
        for method in service.method:
            method.input_type = method.input_type.replace(_ALPHA, _V1)
            method.output_type = method.output_type.replace(_ALPHA, _V1)
    pool = DescriptorPool()
    pool.AddSerializedFile(proto.SerializeToString())
    return pool.FindFileByName(proto.name)


class ReflectionService:
    """Answers from the descriptors that this process has.

    Args:
        names: of the services to list, besides reflection itself.
        conversations_max: clients that may look around at once.
        idle_s: until one that asks nothing has to go.
    """

    def __init__(
        self, names: Iterable[str], conversations_max: int = 16, idle_s: float = _IDLE_S
    ) -> None:
        self._names = sorted({*names, *SERVICE_NAMES})
        self._conversations_max = conversations_max
        self._idle_s = idle_s
        self._conversations = 0
        self._v1 = _v1_file()

    def services(self) -> tuple[Service, Service]:
        """What is served, in both versions."""
        files = (self._v1, reflection_pb2.DESCRIPTOR)
        v1, alpha = (
            Service(file.services_by_name["ServerReflection"], {"ServerReflectionInfo": self.info})
            for file in files
        )
        return v1, alpha

    async def info(
        self, requests: AsyncIterator[_Request], _peer: Peer
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve ServerReflectionInfo.

        Yields:
            One serialised ServerReflectionResponse for each request.

        Raises:
            Exhausted: too many look around already.
            TooLate: no more requests come, and no end.
        """
        if self._conversations >= self._conversations_max:
            limit = self._conversations_max
            raise Exhausted(f"{limit} clients use reflection, which is conversations_max")
        self._conversations += 1
        try:
            while True:
                try:
                    request = await asyncio.wait_for(anext(requests, None), self._idle_s)
                except TimeoutError as error:
                    raise TooLate(f"no request came within {self._idle_s:g} s") from error
                if request is None:
                    return
                response = self.answer(request)
                response.valid_host = request.host
                yield [response.SerializeToString()]
        finally:
            self._conversations -= 1

    def answer(self, request: _Request) -> _Response:
        """The answer to one question; a question that has none gets an error response."""
        try:
            return self._answer(request)
        except KeyError as error:
            return _failure(Status.NOT_FOUND, f"not found: {error.args[0]}")

    def _answer(self, request: _Request) -> _Response:
        asked = request.WhichOneof("message_request")
        if asked == "list_services":
            response = _Response()
            for name in self._names:
                response.list_services_response.service.add(name=name)
            return response
        if asked == "file_by_filename":
            path = request.file_by_filename
            return _found(self._find(lambda pool: pool.FindFileByName(path)))
        if asked == "file_containing_symbol":
            symbol = request.file_containing_symbol
            return _found(self._find(lambda pool: pool.FindFileContainingSymbol(symbol)))
        if asked in {"file_containing_extension", "all_extension_numbers_of_type"}:
            # None of the services has any: proto3.
            raise KeyError("extensions")
        return _failure(Status.INVALID_ARGUMENT, "message_request: is missing")

    def _find(self, find: Callable[[DescriptorPool], FileDescriptor]) -> FileDescriptor:
        try:
            return find(descriptor_pool.Default())
        except KeyError:
            return find(self._v1.pool)


def _found(file: FileDescriptor) -> _Response:
    response = _Response()
    response.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
    return response


def _failure(status: Status, text: str) -> _Response:
    response = _Response()
    response.error_response.error_code = status
    response.error_response.error_message = text
    return response
