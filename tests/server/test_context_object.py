from __future__ import annotations

from typing import Any

import pytest

from palomar_server import context_object
from palomar_server.address import parse_address
from palomar_server.endpoints import Endpoint
from palomar_server.names import Service
from palomar_server.policies import PolicyEntry, PolicyKey


def test_an_endpoint_has_what_is_said_and_defaults() -> None:
    assert context_object.endpoint({}) == Endpoint()
    change = {"id": 7, "identity": 300, "pod_name": "web", "workloads": [["web", "Deployment"]]}
    assert context_object.endpoint(change) == Endpoint(
        id=7, identity=300, pod_name="web", workloads=(("web", "Deployment"),)
    )


def test_labels_without_a_value_have_no_equals_sign() -> None:
    assert context_object.labels(["k8s:a=", "k8s:b", "k8s:c=d", "k8s:e=="]) == (
        "k8s:a",
        "k8s:b",
        "k8s:c=d",
        "k8s:e==",
    )
    assert context_object.endpoint({"labels": ["k8s:a="]}).labels == ("k8s:a",)


def test_a_policy_is_made_of_its_entries() -> None:
    entry = {"direction": "egress", "identity": 300, "rules": [["k8s:a=b"]], "log": ["seen"]}
    key = PolicyKey(egress=True, identity=300, protocol=0, port=0)
    assert context_object.policy([entry]) == {key: PolicyEntry((("k8s:a=b",),), 0, ("seen",))}


def test_services_and_addresses_are_read() -> None:
    assert context_object.service({"name": "web", "namespace": "shop"}) == Service("web", "shop")
    assert context_object.addresses(["10.0.0.1"]) == (parse_address("10.0.0.1"),)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (context_object.endpoint, {"id": 65_536}),
        (context_object.endpoint, {"labels": "k8s:a=b"}),
        (context_object.endpoint, {"workloads": [["web"]]}),
        (context_object.endpoint, []),
        (context_object.texts, {"a": 1}),
        (context_object.addresses, ["10.0.0"]),
        (context_object.service, {"name": "web"}),
        (context_object.policy, [{"direction": "up"}]),
        (context_object.policy, [{"direction": "egress", "port": 65_536}]),
        (context_object.policy, [{"direction": "egress", "rules": ["k8s:a=b"]}]),
        (context_object.policy, 5),
    ],
)
def test_values_of_the_wrong_form_raise_what_is_announced(function: Any, value: object) -> None:
    with pytest.raises(context_object.NOT_UNDERSTOOD):
        function(value)


def test_texts_can_be_encoded() -> None:
    # As json.loads makes them of "\\ud800", and os.fsdecode of a name that is not UTF-8.
    change = {
        "namespace": "\ud800",
        "pod_name": "a\udcff",
        "cluster_name": "\udfff",
        "labels": ["k8s:a=\ud800"],
        "workloads": [["\ud800", "Deployment"]],
    }
    assert context_object.endpoint(change) == Endpoint(
        namespace="\ufffd",
        pod_name="a\ufffd",
        cluster_name="\ufffd",
        labels=("k8s:a=\ufffd",),
        workloads=(("\ufffd", "Deployment"),),
    )
    service = {"name": "\ud800", "namespace": "shop"}
    assert context_object.service(service) == Service("\ufffd", "shop")
