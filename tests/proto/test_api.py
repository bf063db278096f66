"""The five Hubble packages are exactly Hubble's: every message, field, number, type and service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.peer import peer_pb2
from palomar_proto.recorder import recorder_pb2
from palomar_proto.relay import relay_pb2

if TYPE_CHECKING:
    from pathlib import Path

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR for module in (flow_pb2, observer_pb2, peer_pb2, recorder_pb2, relay_pb2)
]
SCALARS = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


@pytest.fixture
def api(shared: Path) -> dict[str, dict[str, Any]]:
    api: dict[str, dict[str, Any]] = json.loads((shared / "conformance/api.json").read_text())
    return api


def messages() -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}

    def walk(message: Descriptor) -> None:
        found[message.full_name] = message
        for nested in message.nested_types:
            walk(nested)

    for file in FILES:
        for message in file.message_types_by_name.values():
            walk(message)
    return found


def field_type(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        name = field.message_type.full_name
    elif field.enum_type is not None:
        name = field.enum_type.full_name
    else:
        name = SCALARS[field.type]
    return f"repeated {name}" if field.is_repeated else name


def test_messages_have_exactly_the_fields_of_hubble(api: dict[str, dict[str, Any]]) -> None:
    ours = {
        name: {
            field.name: {
                "number": field.number,
                "type": field_type(field),
                "oneof": f"oneof {field.containing_oneof.name}" if field.containing_oneof else "",
                "deprecated": field.GetOptions().deprecated,
            }
            for field in message.fields
        }
        for name, message in messages().items()
    }
    assert ours == api["messages"]


def test_enumerations_have_exactly_the_values_of_hubble(api: dict[str, dict[str, Any]]) -> None:
    enums = {
        enum.full_name: enum for file in FILES for enum in file.enum_types_by_name.values()
    } | {enum.full_name: enum for message in messages().values() for enum in message.enum_types}
    ours = {
        name: {value.name: value.number for value in enum.values} for name, enum in enums.items()
    }
    assert ours == api["enums"]


def test_services_have_exactly_the_methods_of_hubble(api: dict[str, dict[str, Any]]) -> None:
    pool = descriptor_pool.Default()
    ours: dict[str, dict[str, list[str]]] = {}
    for file in FILES:
        for service in file.services_by_name.values():
            assert pool.FindServiceByName(service.full_name) is service
            ours[service.full_name] = {
                method.name: [
                    ("stream " if method.client_streaming else "") + method.input_type.full_name,
                    ("stream " if method.server_streaming else "") + method.output_type.full_name,
                ]
                for method in service.methods
            }
    assert ours == api["services"]
