from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection, reflection_pb2

from palomar.errors import ServerError, Unsupported
from palomar.reflection import V1, V1_ALPHA, Reflection
from palomar.target import parse_target
from palomar_proto.observer import observer_pb2

OBSERVER = "observer.Observer"
Response = reflection_pb2.ServerReflectionResponse
Handler = Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Any]]


@contextmanager
def conversation(
    folder: Path, handler: Handler | None = None, service: str = V1_ALPHA
) -> Iterator[Reflection]:
    """Talk to a stock server, or to one that answers as told."""
    server = grpc.server(ThreadPoolExecutor(2))
    if handler is None:
        reflection.enable_server_reflection((OBSERVER, reflection.SERVICE_NAME), server)
    else:
        method = grpc.stream_stream_rpc_method_handler(
            handler,
            reflection_pb2.ServerReflectionRequest.FromString,
            Response.SerializeToString,
        )
        methods = {"ServerReflectionInfo": method}
        told = grpc.method_handlers_generic_handler(V1_ALPHA, methods)
        server.add_generic_rpc_handlers((told,))
    target = parse_target(f"unix:{folder}/s")
    server.add_insecure_port(target.address)
    server.start()
    try:
        with (
            grpc.insecure_channel(target.address) as channel,
            Reflection(channel, target, service) as talk,
        ):
            yield talk
    finally:
        server.stop(None).wait()


def test_services_of_a_stock_server(tmp_path: Path) -> None:
    with conversation(tmp_path) as talk:
        assert set(talk.services()) == {OBSERVER, V1_ALPHA}


def test_files_come_once_and_in_front_of_what_they_import(tmp_path: Path) -> None:
    with conversation(tmp_path) as talk:
        files = list(talk.files(OBSERVER))
    names = [file.name for file in files]
    assert names[0] == "palomar_proto/observer/observer.proto"
    assert len(set(names)) == len(names)
    assert {imported for file in files for imported in file.dependency} < set(names)


def test_service_that_is_not_there(tmp_path: Path) -> None:
    with (
        conversation(tmp_path) as talk,
        pytest.raises(ServerError, match=r"does not tell about no\.Such"),
    ):
        list(talk.files("no.Such"))


def test_server_without_that_version(tmp_path: Path) -> None:
    with conversation(tmp_path, service=V1) as talk:
        for _ in range(3):
            with pytest.raises(Unsupported):
                talk.services()


def test_server_that_hangs_up(tmp_path: Path) -> None:
    def silent(questions: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        next(questions)
        return iter(())

    with conversation(tmp_path, silent) as talk, pytest.raises(ServerError, match="without an"):
        talk.services()


def test_server_that_gives_another_file_than_asked_for(tmp_path: Path) -> None:
    def confused(questions: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for _ in questions:
            file = observer_pb2.DESCRIPTOR.serialized_pb
            yield Response(
                file_descriptor_response=reflection_pb2.FileDescriptorResponse(
                    file_descriptor_proto=[file]
                )
            )

    with conversation(tmp_path, confused) as talk, pytest.raises(ServerError, match="another file"):
        list(talk.files(OBSERVER))


def test_left_in_the_middle_it_ends(tmp_path: Path) -> None:
    with conversation(tmp_path) as talk:
        next(talk.files(OBSERVER))
        talk.close()
