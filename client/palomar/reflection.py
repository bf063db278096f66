"""What a server offers, by its own account: gRPC server reflection.

In: a channel. Out: the names of the services, and the files that define them, each once and in
front of those that it imports. The messages of reflection are few and never change, so they are
described here instead of taking a package for them; v1 and v1alpha have the same.

https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto
"""

from collections.abc import Iterator
from contextlib import suppress
from queue import Full, Queue
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from palomar.errors import ServerError
from palomar.rpc import translated
from palomar.target import Target

V1: Final = "grpc.reflection.v1.ServerReflection"
V1_ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"

_FILES_MAX = 10_000
"""More than any API has: a server that makes up ever more of them is left."""

# The fields that are used, and their numbers: TEXT is a string, BYTES bytes, INT an int32, anything
# else the name of a message. A star stands for repeated.
_MESSAGES: Final = {
    "Request": {"file_by_filename TEXT": 3, "file_containing_symbol TEXT": 4,
                "list_services TEXT": 7},
    "Response": {"file_descriptor_response Files": 4, "list_services_response Services": 6,
                 "error_response Failure": 7},
    "Files": {"file_descriptor_proto BYTES*": 1},
    "Services": {"service Service*": 1},
    "Service": {"name TEXT": 1},
    "Failure": {"error_code INT": 1, "error_message TEXT": 2},
}  # fmt: skip
_TYPES: Final = {"TEXT": "TYPE_STRING", "BYTES": "TYPE_BYTES", "INT": "TYPE_INT32"}


def _field(text: str, number: int) -> dict[str, object]:
    name, kind = text.removesuffix("*").split()
    field: dict[str, object] = {"name": name, "number": number}
    field["label"] = "LABEL_REPEATED" if text.endswith("*") else "LABEL_OPTIONAL"
    return field | (
        {"type": _TYPES[kind]}
        if kind in _TYPES
        else {"type": "TYPE_MESSAGE", "type_name": f".{kind}"}
    )


def _classes() -> dict[str, Any]:
    """Make the classes of the messages, in a pool of their own."""
    messages = [
        {"name": name, "field": [_field(*field) for field in fields.items()]}
        for name, fields in _MESSAGES.items()
    ]
    pool = DescriptorPool()
    pool.Add(
        ParseDict(
            {"name": "reflection", "syntax": "proto2", "message_type": messages},
            FileDescriptorProto(),
        )
    )
    return {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in _MESSAGES}


_CLASSES = _classes()


class Reflection:
    """One conversation about what a server offers; use it in a `with` block.

    Args:
        channel: A connection to the server.
        target: The server, for errors.
        service: `V1`, or `V1_ALPHA` for servers of before 2023.
        metadata: Goes with the call: who asks.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        target: Target,
        service: str = V1,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._target = target
        self._questions: Queue[bytes | None] = Queue(maxsize=1)  # one at a time, then the end
        converse: Any = channel.stream_stream(f"/{service}/ServerReflectionInfo")
        self._call = converse(iter(self._questions.get, None), metadata=metadata)

    def services(self) -> list[str]:
        """Ask for the names of the services.

        Raises:
            Unsupported: The server does not tell.
            PalomarError: See `palomar.errors`; so for `files`.
        """
        answer = self._ask("list_services", "*")
        return [service.name for service in answer.list_services_response.service]

    def files(self, service: str) -> Iterator[FileDescriptorProto]:
        """Ask for the file that defines a service, and for all that it imports.

        Yields:
            The files: each comes once, and in front of what it imports.
        """
        found = _parsed(self._ask("file_containing_symbol", service))
        known = {file.name: file for file in found}
        waiting = [file.name for file in reversed(found)]
        given: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in given:
                continue
            if len(given) >= _FILES_MAX:
                raise ServerError(f"{self._target.text} tells of more than {_FILES_MAX} files")
            given.add(name)
            if name not in known:
                known |= {file.name: file for file in _parsed(self._ask("file_by_filename", name))}
            file = known.get(name)
            if file is None:
                raise ServerError(f"{self._target.text} was asked for {name} and gave another file")
            yield file
            waiting += reversed(file.dependency)

    def close(self) -> None:
        """End the conversation; may be called again."""
        self._call.cancel()
        with suppress(Full):
            self._questions.put_nowait(None)  # lets go of the thread that waits for questions

    def _ask(self, question: str, text: str) -> Any:
        request = _CLASSES["Request"](**{question: text})
        with suppress(Full):  # nobody takes questions any more: the call has ended, and says why
            self._questions.put_nowait(request.SerializeToString())
        with translated(self._target):
            data = next(self._call, None)
        if data is None:
            raise ServerError(f"{self._target.text} ended the reflection without an answer")
        answer = _CLASSES["Response"].FromString(data)
        if answer.HasField("error_response"):
            why = answer.error_response.error_message or answer.error_response.error_code
            raise ServerError(f"{self._target.text} does not tell about {text}: {why}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _parsed(answer: Any) -> list[FileDescriptorProto]:
    files = answer.file_descriptor_response.file_descriptor_proto
    return [FileDescriptorProto.FromString(data) for data in files]
