from __future__ import annotations

import pytest

from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.filters.endpoint_row import EndpointPredicate
from palomar_server.testing import flow_rows, view_of


@pytest.fixture
def endpoints() -> EndpointTable:
    return EndpointTable(rows_max=2, grace_ns=10)


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def predicate(endpoints: EndpointTable, asked: list[str]) -> EndpointPredicate:
    def condition(endpoint: Endpoint) -> bool:
        asked.append(endpoint.pod_name)
        return endpoint.pod_name.startswith("web")

    return EndpointPredicate("source", endpoints, condition)


def test_each_endpoint_is_asked_once(
    endpoints: EndpointTable, predicate: EndpointPredicate, asked: list[str]
) -> None:
    row = endpoints.upsert("a", Endpoint(pod_name="web-a"), [], at_ns=0)
    rows = flow_rows(2, source_endpoint=[0, row])
    assert predicate(view_of(rows)).tolist() == [False, True]
    later = endpoints.upsert("b", Endpoint(pod_name="db"), [], at_ns=0)
    rows = flow_rows(3, source_endpoint=[0, row, later])
    assert predicate(view_of(rows)).tolist() == [False, True, False]
    assert asked == ["", "web-a", "db"]


def test_rows_that_got_another_meaning_are_asked_anew(
    endpoints: EndpointTable, predicate: EndpointPredicate
) -> None:
    endpoints.upsert("a", Endpoint(pod_name="web-a"), [], at_ns=0)
    row = endpoints.upsert("b", Endpoint(pod_name="web-b"), [], at_ns=0)
    rows = flow_rows(1, source_endpoint=row)
    assert predicate(view_of(rows)).tolist() == [True]
    endpoints.remove("b", at_ns=5)
    assert endpoints.upsert("c", Endpoint(pod_name="db"), [], at_ns=50, oldest_ns=40) == row
    assert predicate(view_of(rows)).tolist() == [False]


def test_an_endpoint_that_came_while_rows_were_read_is_no_error(
    predicate: EndpointPredicate,
) -> None:
    assert predicate(view_of(flow_rows(2, source_endpoint=[0, 77]))).shape == (2,)
