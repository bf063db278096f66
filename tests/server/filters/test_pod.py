from __future__ import annotations

import pytest

from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import refusal, selected

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
    found = selected(rows, surroundings, source_pod=values)
    assert [PODS[index - 1] for index in found] == expected


def test_the_destination_has_its_own_field(surroundings: Surroundings) -> None:
    rows = flow_rows(2, source_endpoint=[1, 3], destination_endpoint=[3, 1])
    assert selected(rows, surroundings, destination_pod=["shop/"]) == [0]


def test_an_empty_value_is_refused() -> None:
    assert refusal(source_pod=[""]).startswith("whitelist[0].source_pod: '' is empty; write")
