from __future__ import annotations

from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import content, refusal, selected


def test_the_cluster_is_the_endpoints_or_that_of_its_labels() -> None:
    surroundings = Surroundings(EndpointTable())
    far = ("k8s:io.cilium.k8s.policy.cluster=far",)
    for number, endpoint in enumerate((Endpoint(cluster_name="near"), Endpoint(labels=far))):
        surroundings.endpoints.upsert(str(number), endpoint, (), at_ns=0)
    surroundings.identities.put(1_000, far)
    rows = flow_rows(4, source_endpoint=range(4), source_identity=[0, 0, 0, 1_000])
    rows["source_endpoint"][3] = 0
    rows["destination_endpoint"] = rows["source_endpoint"]
    assert selected(rows, surroundings, source_cluster_name=["near"]) == [1]
    assert selected(rows, surroundings, source_cluster_name=["far", "x"]) == [2, 3]
    assert selected(rows, surroundings, destination_cluster_name=["near"]) == [1]


def test_a_message_tells_its_cluster() -> None:
    message = content(source={"cluster_name": "told"})
    assert selected(flow_rows(1, message=1), messages=[message], source_cluster_name=["told"]) == [
        0
    ]


def test_an_empty_name_is_refused() -> None:
    assert refusal(source_cluster_name=[""]).startswith("whitelist[0].source_cluster_name: '' is")
