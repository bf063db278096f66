"""What the inventory and the namespaces become."""

from __future__ import annotations

from palomar_server.endpoints import IDENTITY_HOST
from palomar_server.inventory import (
    Inventory,
    InventoryCidr,
    InventoryPod,
    InventoryService,
    InventoryWorkload,
)
from palomar_server.local_endpoints import LocalEndpoints
from palomar_server.namespaces import NamespaceState

NOW_NS = 77


def endpoints(inventory: Inventory | None = None) -> LocalEndpoints:
    return LocalEndpoints(
        inventory, cluster_name="lab", namespace="default", clock_ns=lambda: NOW_NS
    )


def namespace(name: str = "web", *addresses: str, inode: int = 1) -> NamespaceState:
    return NamespaceState(name, inode, addresses or ("192.0.2.1",), (5,))


def test_namespace_becomes_a_pod_by_its_own_name() -> None:
    context = endpoints().came(namespace("web", "192.0.2.1", "2001:db8::1"))
    assert context == {
        "endpoints": {
            "netns:web": {
                "at_ns": NOW_NS,
                "addresses": ["192.0.2.1", "2001:db8::1"],
                "id": 1,
                "identity": 256,
                "namespace": "default",
                "pod_name": "web",
                "cluster_name": "lab",
                "labels": ["k8s:io.kubernetes.pod.namespace=default", "palomar:netns=web"],
            }
        }
    }


def test_namespace_that_went_is_removed_and_its_id_is_free() -> None:
    known = endpoints()
    known.came(namespace("web"))
    assert known.endpoint_id(namespace("client")) == 2
    assert known.went(namespace("web")) == {"endpoints": {"netns:web": {"removed_ns": NOW_NS}}}
    assert known.endpoint_id(namespace("late")) == 1


def test_name_keeps_its_id_and_labels_their_identity() -> None:
    known = endpoints()
    first = known.came(namespace("web"))["endpoints"]["netns:web"]
    again = known.came(namespace("web", "192.0.2.9"))["endpoints"]["netns:web"]
    assert (first["id"], first["identity"]) == (again["id"], again["identity"])
    other = known.came(namespace("client"))["endpoints"]["netns:client"]
    assert other["identity"] != first["identity"]


def test_namespace_with_an_address_of_the_inventory_is_that_pod() -> None:
    pod = InventoryPod(
        name="cart-0",
        namespace="shop",
        ips=("192.0.2.1",),
        labels=("k8s:app=cart",),
        workloads=(InventoryWorkload(name="cart", kind="StatefulSet"),),
        identity=4711,
    )
    known = endpoints(Inventory(pods=(pod,)))
    assert known.initial()["endpoints"]["pod:shop/cart-0"]["id"] == 0
    came = known.came(namespace("cni-1234", "192.0.2.1", "2001:db8::1"))["endpoints"]
    assert list(came) == ["pod:shop/cart-0"]
    change = came["pod:shop/cart-0"]
    assert change["id"] == 1
    assert change["identity"] == 4711
    assert change["addresses"] == ["192.0.2.1", "2001:db8::1"]
    assert change["workloads"] == [["cart", "StatefulSet"]]
    # When the namespace goes the inventory's pod is still known, as one that is not local.
    went = known.went(namespace("cni-1234", "192.0.2.1"))["endpoints"]["pod:shop/cart-0"]
    assert went["id"] == 0
    assert went["addresses"] == ["192.0.2.1"]


def test_namespace_that_turns_out_to_be_another_pod_is_not_two() -> None:
    pods = [
        InventoryPod(name=f"cart-{number}", namespace="shop", ips=(f"192.0.2.{number}",))
        for number in (1, 2)
    ]
    known = endpoints(Inventory(pods=tuple(pods)))
    assert list(known.came(namespace("cni", "198.51.100.7"))["endpoints"]) == ["netns:cni"]
    first = known.came(namespace("cni", "192.0.2.1"))["endpoints"]
    assert first["netns:cni"] == {"removed_ns": NOW_NS}
    assert [*first] == ["netns:cni", "pod:shop/cart-1"]
    second = known.came(namespace("cni", "192.0.2.2"))["endpoints"]
    assert [(key, change["id"]) for key, change in second.items()] == [
        ("pod:shop/cart-1", 0),
        ("pod:shop/cart-2", 1),
    ]
    third = known.came(namespace("cni", "198.51.100.7"))["endpoints"]
    assert [(key, change["id"]) for key, change in third.items()] == [
        ("pod:shop/cart-2", 0),
        ("netns:cni", 1),
    ]
    assert [*known.went(namespace("cni", "198.51.100.7"))["endpoints"]] == ["netns:cni"]


def test_cidr_is_an_endpoint_with_labels_and_without_pod() -> None:
    cidr = InventoryCidr(cidr="10.0.0.0/8", name="office", labels=("k8s:zone=lan",))
    change = endpoints(Inventory(cidrs=(cidr,))).initial()["endpoints"]["cidr:10.0.0.0/8"]
    assert change["labels"] == ["k8s:zone=lan", "palomar:name=office"]
    assert "pod_name" not in change


def test_services_and_names_of_the_inventory_are_told() -> None:
    services = (
        InventoryService(name="web", namespace="shop", ips=("192.0.2.9",), ports=(80, 443)),
        InventoryService(name="any", namespace="shop", ips=("192.0.2.9", "192.0.2.8")),
    )
    names = {"192.0.2.1": ("db.example.org",)}
    context = endpoints(Inventory(services=services, names=names)).initial()
    web, any_port = {"name": "web", "namespace": "shop"}, {"name": "any", "namespace": "shop"}
    assert context == {
        "endpoints": {},
        "services": {
            "192.0.2.9": {"80": web, "443": web, "0": any_port},
            "192.0.2.8": {"0": any_port},
        },
        "dns_names": {"0": {"192.0.2.1": ["db.example.org"]}},
    }


def test_host_is_a_reserved_identity() -> None:
    host = endpoints().host(["192.0.2.7", "192.0.2.7"])["endpoints"]["host"]
    assert host["identity"] == IDENTITY_HOST
    assert host["addresses"] == ["127.0.0.0/8", "192.0.2.7", "::1"]
    assert host["labels"] == ["reserved:host"]


def test_what_went_leaves_nothing_behind_but_its_identity_is_not_given_again() -> None:
    known = endpoints()
    first = known.came(namespace("web"))["endpoints"]["netns:web"]["identity"]
    known.went(namespace("web"))
    assert known._identities == {}
    again = known.came(namespace("other"))["endpoints"]["netns:other"]["identity"]
    assert again != first
