"""What holds for every format."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palomar.printers import PRINTERS, Look, make_printer
from palomar_proto.observer.observer_pb2 import GetFlowsResponse

HOSTILE = st.text(st.sampled_from("a\x1b\r\n\t\x00\x9b\x7f\u202e:/"), min_size=1, max_size=6)


def fill(message: Message, texts: Iterator[str], depth: int = 0) -> None:
    """Put hostile text into every text field, down to where flows keep theirs."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                getattr(message, field.name).append(next(texts))
            else:
                setattr(message, field.name, next(texts))
        elif field.type == FieldDescriptor.TYPE_MESSAGE and depth < 3 and not field.is_repeated:
            part = getattr(message, field.name)
            if not part.DESCRIPTOR.full_name.startswith("google.protobuf."):
                fill(part, texts, depth + 1)


@pytest.mark.parametrize("name", sorted(PRINTERS))
@pytest.mark.parametrize(
    "look",
    [Look(node_name=True), Look(translate=False), Look(strict=True, policy_names=True)],
    ids=["names", "addresses", "strict"],
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_text_of_remote_origin_cannot_steer_a_terminal(
    name: str, look: Look, data: st.DataObject
) -> None:
    texts = iter(lambda: data.draw(HOSTILE), None)
    printer = make_printer(name, look)
    shown = []
    for kind, show in (
        ("flow", printer.flow),
        ("lost_events", printer.loss),
        ("node_status", printer.node_status),
    ):
        response = GetFlowsResponse()
        getattr(response, kind).SetInParent()
        fill(getattr(response, kind), texts)
        response.node_name = next(texts)
        shown += [show(response)]
    lines = "".join([*shown, printer.end()]).split("\n")
    if "json" in name.lower():
        lines = [line.replace("\x7f", "") for line in lines]  # JSON leaves it, terminals ignore it
    if name == "csv":
        lines = [line.removesuffix("\r") for line in lines]  # RFC 4180 ends lines with both
    assert all(line.isprintable() for line in lines)


def test_unknown_format_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        make_printer("yaml")
