from __future__ import annotations

from typing import Any

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.endpoint_message import endpoint_message, resolve_identity
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings

CLUSTER = "k8s:io.cilium.k8s.policy.cluster"
CONTEXT: dict[str, Any] = {
    "identities": {
        "300": ["k8s:app=web", f"{CLUSTER}=west"],
        "301": ["k8s:app=other", f"{CLUSTER}=east"],
    },
    "endpoints": {
        "local": {
            "at_ns": 0,
            "addresses": ["10.0.0.1"],
            "id": 7,
            "identity": 300,
            "namespace": "shop",
            "pod_name": "web-0",
            "labels": ["k8s:b=own", "k8s:app=own", f"{CLUSTER}=home"],
            "workloads": [["web", "StatefulSet"]],
        },
        "remote": {
            "at_ns": 0,
            "addresses": ["10.0.0.2"],
            "identity": 300,
            "namespace": "shop",
            "pod_name": "web-1",
        },
        "written": {
            "at_ns": 0,
            "addresses": ["192.0.2.0/24"],
            "identity": 301,
            "labels": ["palomar:name=office"],
            "cluster_name": "lab",
        },
    },
}


@pytest.fixture
def surroundings() -> Surroundings:
    surroundings = Surroundings(EndpointTable())
    surroundings.apply(CONTEXT)
    return surroundings


def resolved(surroundings: Surroundings, address: str, given: int = 0) -> flow_pb2.Endpoint:
    row = surroundings.endpoints.row_at(parse_address(address), 1)
    return endpoint_message(surroundings, row, resolve_identity(surroundings, row, given))


@pytest.mark.parametrize("given", [0, 301, 999])
def test_a_local_endpoint_shows_its_own_labels(surroundings: Surroundings, given: int) -> None:
    assert resolved(surroundings, "10.0.0.1", given) == flow_pb2.Endpoint(
        ID=7,
        identity=given or 300,
        cluster_name="home",
        namespace="shop",
        pod_name="web-0",
        labels=["k8s:app=own", "k8s:b=own", f"{CLUSTER}=home"],
        workloads=[flow_pb2.Workload(name="web", kind="StatefulSet")],
    )


@pytest.mark.parametrize(
    ("given", "identity", "labels", "cluster"),
    [
        (0, 300, ["k8s:app=web", f"{CLUSTER}=west"], "west"),
        (301, 301, ["k8s:app=other", f"{CLUSTER}=east"], "east"),
        (2, 2, ["reserved:world"], ""),
        (999, 999, [], ""),
    ],
)
def test_another_address_has_its_owner_s_names_and_its_identity_s_labels(
    surroundings: Surroundings, given: int, identity: int, labels: list[str], cluster: str
) -> None:
    assert resolved(surroundings, "10.0.0.2", given) == flow_pb2.Endpoint(
        identity=identity,
        cluster_name=cluster,
        namespace="shop",
        pod_name="web-1",
        labels=labels,
    )


def test_what_was_written_of_an_address_holds_for_its_identity(surroundings: Surroundings) -> None:
    written = flow_pb2.Endpoint(identity=301, cluster_name="lab", labels=["palomar:name=office"])
    assert resolved(surroundings, "192.0.2.9") == written
    assert list(resolved(surroundings, "192.0.2.9", 2).labels) == ["reserved:world"]
    # Nothing better is known of an identity that nobody told.
    assert list(resolved(surroundings, "192.0.2.9", 999).labels) == ["palomar:name=office"]


def test_an_address_of_nobody_has_no_more_than_an_identity(surroundings: Surroundings) -> None:
    assert resolved(surroundings, "10.9.9.9") == flow_pb2.Endpoint()
    assert resolved(surroundings, "10.9.9.9", 2) == flow_pb2.Endpoint(
        identity=2, labels=["reserved:world"]
    )
