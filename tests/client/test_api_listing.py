import json

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from palomar.api_listing import file_json, service_text
from palomar_proto.observer import observer_pb2


def observer_file() -> FileDescriptorProto:
    return FileDescriptorProto.FromString(observer_pb2.DESCRIPTOR.serialized_pb)


def test_service_lists_its_methods() -> None:
    lines = service_text(observer_file(), "observer.Observer").splitlines()
    assert lines[0] == "observer.Observer"
    assert (
        "  GetFlows(observer.GetFlowsRequest) returns (stream observer.GetFlowsResponse)" in lines
    )


def test_names_cannot_steer_the_terminal() -> None:
    file = FileDescriptorProto()
    service = file.service.add(name="S\x1b")
    service.method.add(name="M\r", input_type=".a\n", output_type=".b\x9b", client_streaming=True)
    assert service_text(file, "S\x1b") == "S^[\n  M\\r(stream a\\n) returns (b\\x9b)\n"


def test_json_is_what_go_makes_of_a_descriptor() -> None:
    file = FileDescriptorProto(name="a.proto", dependency=["b.proto"])
    field = file.message_type.add(name="M").field.add(name="f", number=1)
    field.label, field.type = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.TYPE_INT32
    file.options.uninterpreted_option.add(string_value=b"\x00\xff")
    assert file_json(file) == (
        '{"name":"a.proto","dependency":["b.proto"],'
        '"message_type":[{"name":"M","field":[{"name":"f","number":1,"label":1,"type":5}]}],'
        '"options":{"uninterpreted_option":[{"string_value":"AP8="}]}}'
    )


def test_json_of_a_whole_file_can_be_read() -> None:
    assert json.loads(file_json(observer_file()))["package"] == "observer"
