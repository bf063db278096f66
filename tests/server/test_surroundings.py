from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_proto.palomar.v1 import drop_reason_pb2
from palomar_server.address import parse_address
from palomar_server.cgroups import Cgroups
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.identities import Identities
from palomar_server.names import Names, Service
from palomar_server.policies import Policies, PolicyKey
from palomar_server.surroundings import ContextError, DropSite, Interface, Surroundings

POD = {
    "at_ns": 5,
    "addresses": ["10.0.0.1"],
    "id": 7,
    "identity": 1000,
    "namespace": "shop",
    "pod_name": "cart-0",
    "cluster_name": "default",
    "labels": ["k8s:app=cart"],
    "workloads": [["cart", "StatefulSet"]],
}


@pytest.fixture
def surroundings() -> Surroundings:
    return Surroundings(EndpointTable(grace_ns=10))


def row_of(surroundings: Surroundings, address: str, time_ns: int) -> int:
    hi, lo = parse_address(address)
    columns = (np.array([number], np.uint64) for number in (hi, lo, time_ns))
    return int(surroundings.endpoints.rows_at(*columns)[0])


def link(surroundings: Surroundings, *ifindexes: int) -> list[Interface]:
    rows = surroundings.link_rows(np.array(ifindexes, np.uint32))
    return [surroundings.interfaces.value(row) for row in rows.tolist()]


def test_an_endpoint_comes_and_goes(surroundings: Surroundings) -> None:
    surroundings.apply({"endpoints": {"netns:cart": POD}})
    row = row_of(surroundings, "10.0.0.1", 6)
    assert surroundings.endpoints.endpoint(row) == Endpoint(
        id=7,
        identity=1000,
        namespace="shop",
        pod_name="cart-0",
        cluster_name="default",
        labels=("k8s:app=cart",),
        workloads=(("cart", "StatefulSet"),),
    )
    surroundings.apply({"endpoints": {"netns:cart": {"removed_ns": 20}}})
    assert row_of(surroundings, "10.0.0.1", 29) == row
    assert row_of(surroundings, "10.0.0.1", 30) == 0


def test_rows_are_used_again_before_the_oldest_flow() -> None:
    surroundings = Surroundings(EndpointTable(rows_max=1, grace_ns=10))
    surroundings.apply({"endpoints": {"a": POD}})
    surroundings.apply({"endpoints": {"a": {"removed_ns": 20}}})
    surroundings.apply({"endpoints": {"b": {**POD, "at_ns": 50}}}, oldest_ns=40)
    assert row_of(surroundings, "10.0.0.1", 50) == 1


def test_what_json_makes_of_a_context_is_understood(surroundings: Surroundings) -> None:
    context = {
        "node_name": "default/node",
        "boot_offset_ns": 123,
        "reasons": {2: "NO_SOCKET"},
        "symbols": {0xFFFF_FFFF_8000_0000: "nft_do_chain"},
        "links": {3: "eth0", 4: None},
        "endpoints": {"a": POD},
        "of a later version": [1],
    }
    surroundings.apply(json.loads(json.dumps(context)))
    assert surroundings.boot_offset_ns == 123
    site = surroundings.drop_sites.value(surroundings.drop_site(0xFFFF_FFFF_8000_0000, 2))
    assert site == DropSite("NO_SOCKET", "nft_do_chain")
    assert link(surroundings, 3) == [Interface(3, "eth0")]


def test_an_empty_context_changes_nothing(surroundings: Surroundings) -> None:
    surroundings.apply({"boot_offset_ns": 5})
    surroundings.apply({})
    assert surroundings.boot_offset_ns == 5


@pytest.mark.parametrize(
    ("context", "where"),
    [
        ({"boot_offset_ns": "x"}, "boot_offset_ns"),
        ({"boot_offset_ns": float("inf")}, "boot_offset_ns"),
        ({"reasons": {"x": "NAME"}}, "reasons"),
        ({"symbols": []}, "symbols"),
        ({"links": {"x": "eth0"}}, "links"),
        ({"endpoints": 1}, "endpoints"),
        ({"endpoints": {"web": None}}, r"endpoints\['web'\]"),
        ({"endpoints": {"web": {}}}, r"endpoints\['web'\]"),
        ({"endpoints": {"web": {**POD, "addresses": ["x"]}}}, r"endpoints\['web'\]"),
        ({"endpoints": {"web": {**POD, "identity": 1 << 32}}}, r"endpoints\['web'\]"),
        ({"endpoints": {"web": {**POD, "identity": -1}}}, r"endpoints\['web'\]"),
        ({"endpoints": {"web": {**POD, "id": 65_536}}}, r"endpoints\['web'\]"),
        ({"endpoints": {"web": {**POD, "at_ns": -1}}}, r"endpoints\['web'\]"),
        ({"endpoints": {"web": {**POD, "workloads": ["cart"]}}}, r"endpoints\['web'\]"),
        ({"endpoints": {"web": {"removed_ns": 1 << 63}}}, r"endpoints\['web'\]"),
    ],
)
def test_a_wrong_value_is_named_and_leaves_the_table_whole(
    surroundings: Surroundings, context: dict[str, Any], where: str
) -> None:
    with pytest.raises(ValueError, match=where):
        surroundings.apply(context)
    assert len(surroundings.endpoints) == 1
    assert row_of(surroundings, "10.0.0.1", 6) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from([*POD, "removed_ns"])


KEYS = [
    *("reasons", "symbols", "links", "endpoints", "identities"),
    *("services", "dns_names", "policies", "cgroups"),
]


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["boot_offset_ns", *KEYS]),
        JSON | st.dictionaries(st.text(max_size=2), st.dictionaries(FIELDS, JSON), max_size=2),
    )
)
def test_whatever_a_context_holds_only_value_errors_come_of_it(context: dict[str, Any]) -> None:
    surroundings = Surroundings(EndpointTable())
    with contextlib.suppress(ValueError):
        surroundings.apply(context)
    row_of(surroundings, "10.0.0.1", 6)


def test_kernel_reasons_become_stable_numbers(surroundings: Surroundings) -> None:
    surroundings.apply({"reasons": {2: "NETFILTER_DROP", 3: "BRAND_NEW_REASON"}})
    assert surroundings.drop_reason(2) == 1000 + drop_reason_pb2.NETFILTER_DROP
    assert surroundings.drop_reason(3) == 1000 + drop_reason_pb2.KERNEL_OTHER
    assert surroundings.drop_reason(4) == 1000 + drop_reason_pb2.KERNEL_OTHER
    assert surroundings.drop_reason(0) == 1000 + drop_reason_pb2.KERNEL_UNKNOWN


def test_a_reason_without_name_keeps_its_number(surroundings: Surroundings) -> None:
    assert surroundings.drop_sites.value(surroundings.drop_site(0, 77)) == DropSite("reason 77", "")
    assert surroundings.drop_sites.value(surroundings.drop_site(0, 0)) == DropSite("", "")


def test_a_function_is_looked_up_once_and_reported_once() -> None:
    asked: list[int] = []

    def find(address: int) -> str:
        asked.append(address)
        return "nft_do_chain" if address == 1 else ""

    surroundings = Surroundings(EndpointTable(), find)
    for address in (1, 1, 2, 2, 0):
        surroundings.drop_site(address, 0)
    assert asked == [1, 2]
    assert surroundings.take_fresh_symbols() == {"1": "nft_do_chain"}
    assert surroundings.take_fresh_symbols() == {}


def test_functions_of_a_recording_need_no_look_up(surroundings: Surroundings) -> None:
    surroundings.apply({"symbols": {"1": "nft_do_chain"}})
    site = surroundings.drop_sites.value(surroundings.drop_site(1, 0))
    assert site.function == "nft_do_chain"
    assert surroundings.take_fresh_symbols() == {}


def test_links_have_the_name_of_their_time(surroundings: Surroundings) -> None:
    assert link(surroundings, 0, 3) == [Interface(0, ""), Interface(3, "")]
    surroundings.apply({"links": {"3": "eth0"}})
    before = surroundings.link_rows(np.array([3], np.uint32))
    surroundings.apply({"links": {"3": "lan0"}})
    assert link(surroundings, 3, 3) == [Interface(3, "lan0")] * 2
    assert surroundings.interfaces.value(int(before[0])).name == "eth0"
    surroundings.apply({"links": {"3": None}})
    assert link(surroundings, 3) == [Interface(3, "lan0")]


def test_names_that_are_not_utf_8_can_be_encoded(surroundings: Surroundings) -> None:
    surroundings.apply({"node_name": "default/\udcff", "links": {"3": "eth\udcff"}})
    assert surroundings.node_name == "default/\ufffd"
    assert link(surroundings, 3) == [Interface(3, "eth\ufffd")]
    surroundings.apply({"reasons": {"5": "\ud800"}, "symbols": {"64": "\ud800"}})
    site = surroundings.drop_sites.value(surroundings.drop_site(64, 5))
    assert site == DropSite("\ufffd", "\ufffd")


@pytest.mark.parametrize("ifindex", [1, 65_534, 65_535, 65_536, 2**32 - 1])
def test_every_ifindex_is_told_from_its_neighbours(
    surroundings: Surroundings, ifindex: int
) -> None:
    surroundings.apply({"links": {str(ifindex): "this", str(ifindex - 1): "lower"}})
    for _ in range(2):
        found = link(surroundings, ifindex, 0, ifindex, ifindex - 1)
        assert [one.name for one in found[:3]] == ["this", "", "this"]
        assert found[3].name == ("lower" if ifindex > 1 else "")


def test_a_full_interface_table_names_no_more_links(surroundings: Surroundings) -> None:
    surroundings.interfaces._rows_max = 1
    assert link(surroundings, 1, 2, 2) == [Interface(1, ""), Interface(0, ""), Interface(0, "")]
    assert surroundings.interfaces.refused == 1


def test_names_policies_identities_and_cgroups_come_with_the_context() -> None:
    surroundings = Surroundings(EndpointTable())
    address = parse_address("10.96.0.1")
    surroundings.apply(
        {
            "identities": {"300": ["k8s:a=b"]},
            "services": {"10.96.0.1": {"443": {"name": "api", "namespace": "default"}}},
            "dns_names": {"7": {"10.96.0.1": ["api.example"]}},
            "policies": {"7": [{"direction": "ingress", "revision": 3}]},
            "cgroups": {"5": {"addresses": ["10.0.0.1"]}},
        }
    )
    assert surroundings.identities.labels(300) == ("k8s:a=b",)
    assert surroundings.names.service(address, 443) == Service("api", "default")
    assert surroundings.names.dns(7, address) == ("api.example",)
    key = PolicyKey(egress=False, identity=9, protocol=6, port=80)
    entry = surroundings.policies.entry(7, key, 4)
    assert entry is not None
    assert entry.revision == 3
    _, found = surroundings.cgroups.addresses(np.array([5], np.uint64), np.array([False]))
    assert found.tolist() == [parse_address("10.0.0.1")[1]]
    surroundings.apply(
        {
            "identities": {"300": None},
            "services": {"10.96.0.1": {"443": None}},
            "dns_names": {"7": {"10.96.0.1": None}},
            "policies": {"7": None},
            "cgroups": {"5": None},
        }
    )
    assert surroundings.identities.labels(300) is None
    assert surroundings.names.service(address, 443) is None
    assert surroundings.names.dns(7, address) == ()
    assert surroundings.policies.entry(7, key, 4) is None


@pytest.mark.parametrize(
    ("context", "key"),
    [
        ({"identities": {"300": "k8s:a=b"}}, "identities['300']"),
        ({"identities": []}, "identities"),
        ({"services": {"10.0.0": {}}}, "services['10.0.0']"),
        ({"services": {"10.0.0.1": {"70000": None}}}, "services['10.0.0.1']"),
        ({"dns_names": {"7": {"10.0.0.1": "x"}}}, "dns_names['7']"),
        ({"policies": {"7": [{"direction": "up"}]}}, "policies['7']"),
        ({"cgroups": {"-1": None}}, "cgroups['-1']"),
        ({"cgroups": {"5": {}}}, "cgroups['5']"),
    ],
)
def test_an_error_names_the_key_and_the_entry(context: dict[str, object], key: str) -> None:
    with pytest.raises(ContextError, match=re.escape(key)):
        Surroundings(EndpointTable()).apply(context)


@pytest.mark.parametrize(
    "context",
    [
        {"identities": {"300": ["k8s:a=b"]}},
        {"services": {"10.0.0.1": {"80": {"name": "web", "namespace": "shop"}}}},
        {"dns_names": {"7": {"10.0.0.1": ["x"]}}},
        {"policies": {"7": []}},
        {"node_name": "lab/node"},
    ],
)
def test_what_messages_were_made_of_is_stale_after_a_change(context: dict[str, object]) -> None:
    surroundings = Surroundings(EndpointTable())
    before = surroundings.generation
    surroundings.apply(context)
    changed = surroundings.generation
    assert changed > before
    surroundings.apply(context)
    assert surroundings.generation == changed


def test_what_found_no_room_is_told_by_table() -> None:
    surroundings = Surroundings(
        EndpointTable(rows_max=0),
        identities=Identities(entries_max=0),
        names=Names(services_max=0),
        policies=Policies(entries_max=0),
        cgroups=Cgroups(entries_max=0),
    )
    surroundings.apply(
        {
            "endpoints": {"pod": POD},
            "identities": {"300": ["k8s:a=b"]},
            "services": {"10.0.0.1": {"80": {"name": "web", "namespace": "shop"}}},
            "policies": {"7": [{"direction": "ingress"}]},
            "cgroups": {"5": {"addresses": ["10.0.0.1"]}},
        }
    )
    refused = dict.fromkeys(("endpoints", "identities", "names", "policies", "cgroups"), 1)
    assert surroundings.refused == {**refused, "interfaces": 0, "drop sites": 0}


def test_links_are_known_by_name_for_as_long_as_they_are_there() -> None:
    surroundings = Surroundings(EndpointTable())
    surroundings.apply({"links": {"7": "eth0", "9": "veth1"}})
    assert dict(surroundings.links) == {7: "eth0", 9: "veth1"}
    surroundings.apply({"links": {"7": None, "9": "lxc1"}})
    assert dict(surroundings.links) == {9: "lxc1"}


def test_the_names_of_the_last_links_that_went_are_known_until_another_has_their_index(
    surroundings: Surroundings,
) -> None:
    for ifindex in range(1, 1_100):
        surroundings.apply({"links": {ifindex: f"veth{ifindex}"}})
        surroundings.apply({"links": {ifindex: None}})
    assert not surroundings.links
    assert len(surroundings.known_links) == 1_024
    surroundings.apply({"links": {1_098: "new"}})
    rows = surroundings.link_rows(np.array([1_099, 1_098, 1], np.uint32))
    names = [surroundings.interfaces.value(row).name for row in rows.tolist()]
    assert names == ["veth1099", "new", ""]
