from __future__ import annotations

from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.filters.endpoint_identity import EndpointIdentityPredicate
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows, view_of


def test_each_pair_is_asked_once_until_its_meaning_changes() -> None:
    surroundings = Surroundings(EndpointTable())
    surroundings.endpoints.upsert("a", Endpoint(pod_name="a"), (), at_ns=0)
    asked: list[tuple[str, int]] = []

    def condition(endpoint: Endpoint, identity: int) -> bool:
        asked.append((endpoint.pod_name, identity))
        return identity == 7

    predicate = EndpointIdentityPredicate("source", surroundings, condition)
    rows = flow_rows(4, source_endpoint=[0, 1, 1, 1], source_identity=[7, 7, 8, 7])
    for _ in range(2):
        assert predicate(view_of(rows)).tolist() == [True, True, False, True]
    assert sorted(asked) == [("", 7), ("a", 7), ("a", 8)]
    surroundings.identities.put(7, ("k8s:a=b",))
    predicate(view_of(rows))
    assert len(asked) == 6


def test_a_row_that_names_no_endpoint_is_no_error() -> None:
    surroundings = Surroundings(EndpointTable())
    predicate = EndpointIdentityPredicate("source", surroundings, lambda *_: True)
    rows = flow_rows(1, source_endpoint=(1 << 32) - 1, source_identity=(1 << 32) - 1)
    assert predicate(view_of(rows)).tolist() == [True]
