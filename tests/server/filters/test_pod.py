from __future__ import annotations

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.errors import InvalidRequest
from palomar_server.filters.pod import compile_destination_pod, compile_source_pod
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows

PODS = ("default/web-1", "default/web-2", "shop/web-1", "shop/cart", "shop/", "/loose", "/")


@pytest.fixture
def surroundings() -> Surroundings:
    surroundings = Surroundings(EndpointTable())
    for number, text in enumerate(PODS, start=1):
        namespace, _, name = text.partition("/")
        endpoint = Endpoint(namespace=namespace, pod_name=name)
        assert surroundings.endpoints.upsert(text, endpoint, [], at_ns=0) == number
    return surroundings


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["web"], ["default/web-1", "default/web-2"]),
        (["web-1"], ["default/web-1"]),
        (["default/web-2"], ["default/web-2"]),
        (["shop/"], ["shop/web-1", "shop/cart", "shop/"]),
        (["/web-1"], ["default/web-1", "shop/web-1"]),
        (["/"], list(PODS[:-1])),
        (["shop/c", "web-2"], ["default/web-2", "shop/cart"]),
        (["sho/"], []),
        (["eb"], []),
        (["shop/web/ignored"], ["shop/web-1"]),
    ],
)
def test_names_match_by_prefix_and_namespaces_exactly(
    surroundings: Surroundings, values: list[str], expected: list[str]
) -> None:
    rows = flow_rows(len(PODS) + 1, source_endpoint=range(len(PODS) + 1))
    flow_filter = flow_pb2.FlowFilter(source_pod=values)
    mask = compile_source_pod(flow_filter, surroundings)(rows)
    assert [PODS[index - 1] for index in np.flatnonzero(mask)] == expected


def test_the_destination_has_its_own_field(surroundings: Surroundings) -> None:
    rows = flow_rows(2, source_endpoint=[1, 3], destination_endpoint=[3, 1])
    flow_filter = flow_pb2.FlowFilter(destination_pod=["shop/"])
    assert compile_destination_pod(flow_filter, surroundings)(rows).tolist() == [True, False]


def test_an_empty_value_is_refused(surroundings: Surroundings) -> None:
    with pytest.raises(InvalidRequest, match="source_pod: '' is empty; write"):
        compile_source_pod(flow_pb2.FlowFilter(source_pod=[""]), surroundings)
