from collections.abc import Callable

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from palomar.printers import Look, make_printer
from palomar.printers.color import COLORED
from palomar.printers.field_mask import HUBBLE_PATHS, printed_paths
from palomar_proto.flow.flow_pb2 import Flow
from palomar_proto.observer.observer_pb2 import GetFlowsResponse

LOOKS = [
    Look(node_name=True, policy_names=True, palette=COLORED),
    Look(translate=False),
]


@pytest.mark.parametrize("name", ["compact", "dict", "table", "wide", "csv", "json"])
@pytest.mark.parametrize("look", LOOKS, ids=["all", "addresses"])
def test_printers_print_the_same_of_a_flow_with_only_the_fields_they_name(
    name: str, look: Look, recorded: Callable[[str], list[GetFlowsResponse]]
) -> None:
    mask = FieldMask(paths=make_printer(name, look).field_paths())
    whole, masked = make_printer(name, look), make_printer(name, look)
    for response in [*recorded("flows.jsonl"), *recorded("special.jsonl")]:
        if not response.HasField("flow"):
            continue
        less = GetFlowsResponse()
        less.CopyFrom(response)
        if mask.paths:
            less.flow.Clear()
            mask.MergeMessage(response.flow, less.flow)
        assert masked.flow(less) == whole.flow(response)
    assert masked.end() == whole.end()


def test_strict_printers_ask_for_what_hubble_asks_for() -> None:
    assert printed_paths(Look(strict=True, policy_names=True)) == list(HUBBLE_PATHS)
    assert FieldMask(paths=HUBBLE_PATHS).IsValidForDescriptor(Flow.DESCRIPTOR)


def test_names_and_policies_are_asked_for_where_they_show() -> None:
    paths = printed_paths(Look(translate=False))
    assert not {"source.pod_name", "ingress_denied_by"} & {*paths}
    assert "source.pod_name" in printed_paths(Look())
    assert "ingress_denied_by" in printed_paths(Look(policy_names=True))
