from palomar.protojson_message import FieldTexts, message_encoder
from palomar.protojson_scalars import READERS
from palomar_proto.flow.flow_pb2 import Flow, Workload

LONG = "x" * 5_000


def encoder() -> tuple[FieldTexts, list[str]]:
    """Fields of a workload, and the names of those that had to be decoded, in their order."""
    decoded: list[str] = []
    fields = FieldTexts("flow.Workload")
    for field in Workload.DESCRIPTOR.fields:

        def read(value: bytes, read: object = READERS[field.type]) -> str:
            assert callable(read)
            decoded.append(value.decode())
            return str(read(value))

        fields.add(field, read)
    return fields, decoded


def test_a_field_is_decoded_once() -> None:
    fields, decoded = encoder()
    encode = message_encoder(fields)
    for name in ("a", "b", "a"):
        text = encode(Workload(name=name, kind="Job").SerializeToString())
        assert text == f'{{"name":"{name}","kind":"Job"}}'
    assert decoded == ["a", "Job", "b"]


def test_long_fields_are_not_remembered() -> None:
    fields, decoded = encoder()
    encode = message_encoder(fields)
    data = Workload(name=LONG).SerializeToString()
    assert encode(data) == encode(data) == f'{{"name":"{LONG}"}}'
    assert decoded == [LONG, LONG]
    assert not fields


def test_spans_are_bounded() -> None:
    fields = FieldTexts(Flow.DESCRIPTOR.full_name)
    fields.remember_span(LONG.encode(), "long")
    assert not fields.spans
    for number in range(5_000):
        fields.remember_span(str(number).encode(), "short")
    assert 0 < len(fields.spans) <= 2048


def test_empty_message_is_an_empty_object() -> None:
    assert message_encoder(FieldTexts("flow.Workload"))(b"") == "{}"
