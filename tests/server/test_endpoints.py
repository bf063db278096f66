from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from palomar_server.address import parse_address
from palomar_server.endpoints import NOBODY, Endpoint, EndpointTable

GRACE = 100


def table(rows_max: int = 100) -> EndpointTable:
    return EndpointTable(rows_max=rows_max, grace_ns=GRACE)


def pod(name: str, **fields: Any) -> Endpoint:
    return Endpoint(pod_name=name, **fields)


def rows_at(endpoints: EndpointTable, *queries: tuple[str, int]) -> list[int]:
    addresses = [parse_address(text) for text, _ in queries]
    rows = endpoints.rows_at(
        np.array([hi for hi, _ in addresses], np.uint64),
        np.array([lo for _, lo in addresses], np.uint64),
        np.array([time for _, time in queries], np.uint64),
    )
    return [int(row) for row in rows]


def owners(endpoints: EndpointTable, *queries: tuple[str, int]) -> list[str]:
    """Pod names of who had the addresses at the times."""
    return [endpoints.endpoint(row).pod_name for row in rows_at(endpoints, *queries)]


def test_the_addresses_of_rows_are_those_that_they_have_or_had() -> None:
    endpoints = table()
    web = endpoints.upsert("web", pod("web"), ["192.0.2.1", "fd00::/64"], at_ns=0)
    cart = endpoints.upsert("cart", pod("cart"), ["192.0.2.2"], at_ns=0)
    wanted = np.zeros(len(endpoints), np.bool_)
    assert endpoints.addresses_of(wanted) == []
    wanted[web] = True
    prefix = (parse_address("fd00::"), 64)
    assert endpoints.addresses_of(wanted) == [(parse_address("192.0.2.1"), 128), prefix]
    endpoints.upsert("cart", pod("cart"), ["192.0.2.1"], at_ns=5)
    assert (parse_address("192.0.2.1"), 128) in endpoints.addresses_of(wanted)
    wanted[web], wanted[cart] = False, True
    assert {address for address, _ in endpoints.addresses_of(wanted)} == {
        parse_address("192.0.2.1"),
        parse_address("192.0.2.2"),
    }


def test_row_zero_is_nobody() -> None:
    endpoints = table()
    assert endpoints.endpoint(0) == NOBODY
    assert rows_at(endpoints, ("192.0.2.1", 5)) == [0]
    assert endpoints.identities[0] == NOBODY.identity == 0


def test_one_address_has_the_row_that_columns_of_them_have() -> None:
    endpoints = table()
    row = endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    assert endpoints.row_at(parse_address("10.0.0.1"), 5) == row
    assert endpoints.row_at(parse_address("10.0.0.2"), 5) == 0


def test_a_local_endpoint_is_found_by_its_id_as_long_as_its_row_is_its_own() -> None:
    endpoints = table(rows_max=1)
    assert endpoints.row_of_id(7) == 0
    row = endpoints.upsert("a", pod("a", id=7), ["10.0.0.1"], at_ns=0)
    assert endpoints.row_of_id(7) == row
    endpoints.remove("a", at_ns=5)
    assert endpoints.row_of_id(7) == row
    again = endpoints.upsert("b", pod("b", id=8), ["10.0.0.2"], at_ns=9_000, oldest_ns=9_000)
    assert (endpoints.row_of_id(7), endpoints.row_of_id(8)) == (0, again)


def test_the_first_owner_of_an_address_has_it_for_earlier_times_too() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=50)
    assert owners(endpoints, ("10.0.0.1", 0), ("10.0.0.1", 50)) == ["a", "a"]


def test_an_address_that_moves_names_each_owner_at_its_time() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.upsert("b", pod("b"), ["10.0.0.1"], at_ns=50)
    assert owners(endpoints, ("10.0.0.1", 49), ("10.0.0.1", 50)) == ["a", "b"]


def test_a_removed_endpoint_has_its_address_for_the_grace_time() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.remove("a", at_ns=50)
    queries = [("10.0.0.1", time) for time in (49, 50, 50 + GRACE - 1, 50 + GRACE)]
    assert owners(endpoints, *queries) == ["a", "a", "a", ""]


def test_a_new_owner_ends_the_grace_time() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.remove("a", at_ns=50)
    endpoints.upsert("b", pod("b"), ["10.0.0.1"], at_ns=60)
    assert owners(endpoints, ("10.0.0.1", 59), ("10.0.0.1", 60)) == ["a", "b"]


def test_nobody_has_an_address_between_two_owners_past_the_grace_time() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.remove("a", at_ns=50)
    endpoints.upsert("b", pod("b"), ["10.0.0.1"], at_ns=1000)
    assert owners(endpoints, ("10.0.0.1", 999), ("10.0.0.1", 1000)) == ["", "b"]


def test_the_row_of_a_removed_endpoint_keeps_its_name() -> None:
    endpoints = table()
    row = endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.remove("a", at_ns=50)
    endpoints.upsert("b", pod("b"), ["10.0.0.1"], at_ns=1000)
    assert endpoints.endpoint(row).pod_name == "a"


def test_one_address_of_a_dual_stack_endpoint_can_move_alone() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1", "fd00::1"], at_ns=0)
    endpoints.upsert("b", pod("b"), ["10.0.0.2", "fd00::1"], at_ns=50)
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=60)
    queries = [("10.0.0.1", 70), ("10.0.0.2", 70), ("fd00::1", 49), ("fd00::1", 70)]
    assert owners(endpoints, *queries) == ["a", "b", "a", "b"]


def test_an_address_given_up_is_nobodys() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1", "10.0.0.2"], at_ns=0)
    endpoints.upsert("a", pod("a"), ["10.0.0.2"], at_ns=50)
    queries = [("10.0.0.1", 49), ("10.0.0.1", 50), ("10.0.0.2", 50)]
    assert owners(endpoints, *queries) == ["a", "", "a"]


def test_giving_up_an_address_takes_it_from_nobody_else() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.upsert("b", pod("b"), ["10.0.0.1"], at_ns=50)
    endpoints.upsert("a", pod("a"), [], at_ns=60)
    assert owners(endpoints, ("10.0.0.1", 70)) == ["b"]


def test_an_unchanged_endpoint_keeps_its_row() -> None:
    endpoints = table()
    rows = {endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=time) for time in (0, 50)}
    assert len(rows) == 1
    assert len(endpoints) == 2


def test_changed_properties_hold_from_the_change_on() -> None:
    endpoints = table()
    before = endpoints.upsert("a", pod("a", labels=("k=1",)), ["10.0.0.1"], at_ns=0)
    after = endpoints.upsert("a", pod("a", labels=("k=2",)), ["10.0.0.1"], at_ns=50)
    assert rows_at(endpoints, ("10.0.0.1", 49), ("10.0.0.1", 50)) == [before, after]
    assert endpoints.endpoint(before).labels == ("k=1",)


def test_an_endpoint_that_changes_for_ever_needs_no_more_rows() -> None:
    endpoints = table(rows_max=3)
    for time in range(1, 20):
        row = endpoints.upsert("a", pod("a", identity=time), ["10.0.0.1"], time, oldest_ns=time)
        assert rows_at(endpoints, ("10.0.0.1", time)) == [row]
    assert endpoints.refused == 0
    assert len(endpoints) <= 4


def test_both_spellings_of_an_address_are_one() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["FD00:0::1"], at_ns=0)
    endpoints.upsert("a", pod("a"), ["fd00::1"], at_ns=50)
    assert owners(endpoints, ("fd00::1", 49), ("fd00::1", 50)) == ["a", "a"]


def test_an_exact_address_wins_then_the_longest_prefix() -> None:
    endpoints = table()
    for key, address in (
        ("all", "0.0.0.0/0"),
        ("ten", "10.9.9.9/8"),
        ("net", "10.1.0.0/16"),
        ("pod", "10.1.0.1"),
        ("six", "fd00::/8"),
    ):
        endpoints.upsert(key, pod(key), [address], at_ns=0)
    queries = {
        "10.1.0.1": "pod",
        "10.1.0.2": "net",
        "10.2.0.1": "ten",
        "192.0.2.1": "all",
        "fd00::1": "six",
        "2001:db8::1": "",
    }
    assert owners(endpoints, *((text, 5) for text in queries)) == list(queries.values())


def test_short_ipv6_prefixes_hold_no_ipv4_address() -> None:
    endpoints = table()
    endpoints.upsert("six", pod("six"), ["::/0"], at_ns=0)
    assert owners(endpoints, ("10.0.0.1", 5), ("::1", 5), ("fd00::1", 5)) == ["", "six", "six"]
    endpoints.upsert("four", pod("four"), ["10.0.0.0/8"], at_ns=0)
    assert owners(endpoints, ("10.0.0.1", 5), ("192.0.2.1", 5)) == ["four", ""]


def test_a_prefix_of_full_length_is_an_exact_address() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1/32"], at_ns=0)
    endpoints.upsert("b", pod("b"), ["10.0.0.1"], at_ns=50)
    assert owners(endpoints, ("10.0.0.1", 49), ("10.0.0.1", 50)) == ["a", "b"]


def test_a_prefix_answers_where_the_owner_of_the_address_is_gone() -> None:
    endpoints = table()
    endpoints.upsert("net", pod("net"), ["10.0.0.0/8"], at_ns=0)
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.remove("a", at_ns=50)
    assert owners(endpoints, ("10.0.0.1", 50), ("10.0.0.1", 50 + GRACE)) == ["a", "net"]


def test_a_prefix_has_owners_over_time_too() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.0/8"], at_ns=0)
    endpoints.upsert("b", pod("b"), ["10.0.0.0/8"], at_ns=50)
    endpoints.remove("b", at_ns=80)
    queries = [("10.0.0.1", time) for time in (49, 50, 80 + GRACE)]
    assert owners(endpoints, *queries) == ["a", "b", ""]


def test_a_full_table_refuses_and_counts() -> None:
    endpoints = table(rows_max=1)
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    assert endpoints.upsert("b", pod("b"), ["10.0.0.2", "10.0.0.1"], at_ns=10) == 0
    assert endpoints.refused == 1
    assert owners(endpoints, ("10.0.0.1", 20), ("10.0.0.2", 20)) == ["a", ""]


def test_a_refused_change_leaves_the_endpoint_as_it_was() -> None:
    endpoints = table(rows_max=1)
    row = endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    assert endpoints.upsert("a", pod("a2"), ["10.0.0.1"], at_ns=10) == 0
    assert endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=20) == row
    assert owners(endpoints, ("10.0.0.1", 30)) == ["a"]


def test_a_row_is_used_again_once_no_flow_can_refer_to_it() -> None:
    endpoints = table(rows_max=1)
    row = endpoints.upsert("a", pod("a", identity=7, id=7), ["10.0.0.1"], at_ns=0)
    endpoints.remove("a", at_ns=50)
    end = 50 + GRACE
    assert endpoints.upsert("b", pod("b"), ["10.0.0.2"], at_ns=end, oldest_ns=end) == 0
    assert endpoints.generation == 0
    assert endpoints.upsert("b", pod("b"), ["10.0.0.2"], at_ns=end, oldest_ns=end + 1) == row
    assert endpoints.generation == 1
    assert (endpoints.endpoint(row).pod_name, endpoints.identities[row]) == ("b", 0)
    assert endpoints.ids[row] == 0
    assert owners(endpoints, ("10.0.0.1", 10), ("10.0.0.2", end)) == ["", "b"]


def test_the_row_of_a_live_endpoint_is_never_used_again() -> None:
    endpoints = table(rows_max=2)
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.upsert("b", pod("b"), ["10.0.0.2"], at_ns=0)
    assert endpoints.upsert("c", pod("c"), ["10.0.0.3"], at_ns=0, oldest_ns=1 << 60) == 0


def test_identities_and_ids_survive_growth() -> None:
    endpoints = table(rows_max=1000)
    for number in range(1, 301):
        endpoints.upsert(str(number), Endpoint(id=number, identity=number + 1000), [], at_ns=0)
    assert endpoints.ids[:301].tolist() == list(range(301))
    assert endpoints.identities[1:301].tolist() == list(range(1001, 1301))


def test_removing_what_is_not_there_does_nothing() -> None:
    endpoints = table()
    endpoints.remove("nobody", at_ns=5)
    assert len(endpoints) == 1


def test_a_bad_address_is_an_error_that_changes_nothing() -> None:
    endpoints = table()
    with pytest.raises(ValueError, match="example"):
        endpoints.upsert("a", pod("a"), ["10.0.0.1", "example"], at_ns=0)
    assert len(endpoints) == 1
    assert rows_at(endpoints, ("10.0.0.1", 5)) == [0]


def test_only_the_last_owners_of_an_address_are_remembered() -> None:
    endpoints = table()
    for number in range(8):
        endpoints.upsert(str(number), pod(str(number)), ["10.0.0.1"], at_ns=number * 10)
    queries = [("10.0.0.1", time) for time in (39, 40, 79)]
    assert owners(endpoints, *queries) == ["", "4", "7"]


def test_addresses_given_up_before_the_oldest_flow_are_forgotten() -> None:
    endpoints = table()
    for number in range(1, 100):
        address = str(ipaddress.IPv4Address(number))
        endpoints.upsert("a", pod("a"), [address], at_ns=number, oldest_ns=number)
        assert rows_at(endpoints, (address, number)) == [1]
    assert len(endpoints._exact) <= 3


def test_an_address_that_was_forgotten_can_still_be_given_up() -> None:
    endpoints = table()
    endpoints.upsert("a", pod("a"), ["10.0.0.1"], at_ns=0)
    endpoints.upsert("b", pod("b"), ["10.0.0.1"], at_ns=10)
    endpoints.upsert("b", pod("b"), [], at_ns=20, oldest_ns=30)
    assert rows_at(endpoints, ("10.0.0.1", 40)) == [0]
    endpoints.upsert("a", pod("a"), ["10.0.0.2"], at_ns=40)
    assert owners(endpoints, ("10.0.0.1", 50), ("10.0.0.2", 50)) == ["", "a"]


ADDRESSES = ("10.0.0.1", "10.0.0.2", "::", "fd00::1", "10.0.0.0/24", "10.0.0.0/31", "::/0")
PROBES = ("10.0.0.1", "10.0.0.2", "10.0.0.9", "::", "fd00::1", "192.0.2.1")
KEYS = ("a", "b", "c")


def contains(prefix: str, address: str) -> int:
    """Length of the prefix where it holds the address, exact addresses above all; else -1."""
    network, probe = ipaddress.ip_network(prefix), ipaddress.ip_address(address)
    if network.version != probe.version:
        return -1
    return network.prefixlen + 96 * (network.version == 4) if probe in network else -1


class Model(RuleBasedStateMachine):
    """The table against dictionaries that are searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoints = table()
        self.now = 0
        self.tags = 0
        self.live: dict[str, tuple[Endpoint, int, frozenset[str]]] = {}
        self.tenures: dict[str, list[tuple[int, int]]] = {}
        self.until: dict[int, int] = {}

    def hand_over(self, address: str, tag: int) -> None:
        tenures = self.tenures.setdefault(address, [])
        if not tenures or tenures[-1][1] != tag:
            tenures.append((self.now if tenures else 0, tag))
            del tenures[:-4]

    @rule(
        key=st.sampled_from(KEYS),
        addresses=st.frozensets(st.sampled_from(ADDRESSES), max_size=3),
        changed=st.booleans(),
        passed=st.integers(0, 60),
    )
    def upsert(self, key: str, addresses: frozenset[str], changed: bool, passed: int) -> None:  # noqa: FBT001 - hypothesis calls by name
        self.now += passed
        endpoint, tag, had = self.live.get(key, (None, 0, frozenset[str]()))
        if endpoint is None or changed:
            self.tags += 1
            endpoint = Endpoint(identity=self.tags)
        if tag and tag != endpoint.identity:
            self.until[tag] = self.now
        for address in had - addresses:
            if self.tenures[address][-1][1] == tag:
                self.hand_over(address, 0)
        for address in addresses:
            self.hand_over(address, endpoint.identity)
        self.live[key] = (endpoint, endpoint.identity, addresses)
        self.endpoints.upsert(key, endpoint, addresses, self.now)

    @rule(key=st.sampled_from(KEYS), passed=st.integers(0, 60))
    def remove(self, key: str, passed: int) -> None:
        self.now += passed
        _, tag, _ = self.live.pop(key, (None, 0, frozenset[str]()))
        if tag:
            self.until[tag] = self.now + GRACE
        self.endpoints.remove(key, self.now)

    def owner(self, address: str, time: int) -> int:
        prefixes = [one for one in self.tenures if contains(one, address) >= 0]
        for prefix in sorted(prefixes, key=lambda one: -contains(one, address)):
            begun = [tag for since, tag in self.tenures[prefix] if since <= time]
            if begun and begun[-1] and time < self.until.get(begun[-1], 1 << 63):
                return begun[-1]
        return 0

    @invariant()
    def owners_are_those_of_the_model(self) -> None:
        times = [max(0, self.now - ago) for ago in (0, 1, 30, 99, 100, 500)]
        queries = [(address, time) for address in PROBES for time in times]
        rows = rows_at(self.endpoints, *queries)
        found = [int(self.endpoints.identities[row]) if row else 0 for row in rows]
        assert found == [self.owner(*query) for query in queries]


Model.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestAgainstAModel = Model.TestCase
