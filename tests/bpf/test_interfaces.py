from __future__ import annotations

import dataclasses
import struct

import pytest

from palomar_bpf.interfaces import ObservedInterfaces
from palomar_bpf.links import Link
from palomar_bpf.testing import FakeMap, FakeTc

ETH0 = Link(2, "eth0", None, None, None, up=True, ethernet=True)
VETH = Link(7, "veth7", "veth", 0, 2, up=True, ethernet=True)
BOTH = {2: ETH0, 7: VETH}


def reference(endpoint_id: int, *, endpoint: bool) -> bytes:
    return struct.pack("=HBB", endpoint_id, endpoint, 0)


@pytest.fixture
def tc() -> FakeTc:
    return FakeTc()


@pytest.fixture
def kernel() -> FakeMap:
    return FakeMap()


@pytest.fixture
def observed(kernel: FakeMap, tc: FakeTc) -> ObservedInterfaces:
    return ObservedInterfaces(kernel, tc.attach)


def test_wanted_links_are_attached_to_and_known_to_the_kernel(
    observed: ObservedInterfaces, kernel: FakeMap, tc: FakeTc
) -> None:
    assert observed.follow(BOTH, {2, 7})
    assert tc.attached == ["eth0", "veth7"]
    assert kernel.entries == {2: reference(0, endpoint=False), 7: reference(0, endpoint=True)}
    assert observed.observed == BOTH
    assert observed.methods == {"eth0": "tcx", "veth7": "tcx"}


def test_an_interface_is_known_to_the_kernel_before_its_first_event(kernel: FakeMap) -> None:
    known: list[bool] = []
    tc = FakeTc()

    def attach(link: Link) -> object:
        known.append(link.ifindex in kernel.entries)
        return tc.attach(link)

    ObservedInterfaces(kernel, attach).follow(BOTH, {2, 7})  # type: ignore[arg-type]
    assert known == [True, True]


def test_nothing_changes_where_nothing_changed(observed: ObservedInterfaces, tc: FakeTc) -> None:
    observed.follow(BOTH, {2, 7})
    assert not observed.follow(BOTH, {2, 7})
    assert tc.attempts == ["eth0", "veth7"]


def test_links_not_wanted_any_more_are_left_alone(
    observed: ObservedInterfaces, kernel: FakeMap, tc: FakeTc
) -> None:
    observed.follow(BOTH, {2, 7})
    assert observed.follow(BOTH, {7})
    assert tc.attached == ["veth7"]
    assert set(kernel.entries) == {7}


def test_a_peer_that_moves_makes_a_link_an_endpoint(
    observed: ObservedInterfaces, kernel: FakeMap, tc: FakeTc
) -> None:
    near = dataclasses.replace(VETH, netnsid=None)
    observed.follow({7: near}, {7})
    assert kernel.entries == {7: reference(0, endpoint=False)}
    assert observed.follow({7: VETH}, {7})
    assert kernel.entries == {7: reference(0, endpoint=True)}
    assert tc.attempts == ["veth7"]


def test_a_new_link_under_an_old_index_is_attached_to_afresh(
    observed: ObservedInterfaces, kernel: FakeMap, tc: FakeTc
) -> None:
    observed.follow({7: VETH}, {7})
    observed.set_endpoint_id(7, 300)
    assert observed.follow({7: VETH}, {7}, gone=[7])  # It looks just the same.
    assert tc.attempts == ["veth7", "veth7"]
    assert tc.attached == ["veth7"]
    assert kernel.entries == {7: reference(0, endpoint=True)}


def test_an_endpoint_may_be_known_before_its_link(
    observed: ObservedInterfaces, kernel: FakeMap
) -> None:
    observed.set_endpoint_id(7, 300)
    assert kernel.entries == {}
    observed.follow(BOTH, {7})
    assert kernel.entries == {7: reference(300, endpoint=True)}
    observed.set_endpoint_id(7, 0)
    assert kernel.entries == {7: reference(0, endpoint=True)}


def test_endpoints_taken_back_leave_nothing(observed: ObservedInterfaces) -> None:
    for ifindex in range(100, 200):  # Of links that never come, so none of them goes either.
        observed.set_endpoint_id(ifindex, 300)
        observed.set_endpoint_id(ifindex, 0)
    assert observed._endpoint_ids == {}


def test_an_interface_that_fails_is_counted_and_does_not_stop_the_others(kernel: FakeMap) -> None:
    tc = FakeTc(broken=frozenset({"eth0"}))
    observed = ObservedInterfaces(kernel, tc.attach)
    observed.follow(BOTH, {2, 7})
    assert tc.attached == ["veth7"]
    assert set(kernel.entries) == {7}
    assert observed.failures == {"eth0": "attaching to eth0: No such device"}


def test_a_failed_interface_is_tried_again_when_it_changes(kernel: FakeMap) -> None:
    tc = FakeTc(broken=frozenset({"eth0"}))
    observed = ObservedInterfaces(kernel, tc.attach)
    observed.follow(BOTH, {2})
    observed.follow(BOTH, {2})
    assert tc.attempts == ["eth0"]
    tc.broken = frozenset()
    observed.follow({2: dataclasses.replace(ETH0, up=False)}, {2})
    assert tc.attached == ["eth0"]
    assert observed.failures == {}


def test_failures_go_with_their_links(kernel: FakeMap) -> None:
    observed = ObservedInterfaces(kernel, FakeTc(broken=frozenset({"eth0"})).attach)
    observed.follow(BOTH, {2})
    observed.follow({}, set(), gone=[2])
    assert observed.failures == {}


def test_more_interfaces_than_the_map_holds_are_failures(tc: FakeTc) -> None:
    observed = ObservedInterfaces(FakeMap(entries_max=1), tc.attach)
    observed.follow(BOTH, {2, 7})
    assert tc.attached == ["eth0"]
    assert set(observed.failures) == {"veth7"}


def test_closing_detaches_from_everything(
    observed: ObservedInterfaces, kernel: FakeMap, tc: FakeTc
) -> None:
    observed.follow(BOTH, {2, 7})
    observed.close()
    observed.close()
    assert tc.attached == []
    assert kernel.entries == {}


def test_while_paused_nothing_is_attached_and_links_are_followed(
    observed: ObservedInterfaces, kernel: FakeMap, tc: FakeTc
) -> None:
    observed.follow({2: ETH0}, {2})
    observed.pause()
    observed.pause()
    assert tc.attached == []
    assert observed.follow(BOTH, {2, 7})
    assert tc.attached == []
    assert observed.observed == BOTH
    # How it was attached is known for those that were.
    assert observed.methods == {"eth0": "tcx"}
    assert set(kernel.entries) == {2, 7}
    assert observed.resume() is False
    assert observed.resume() is False
    assert tc.attached == ["eth0", "veth7"]
    assert observed.methods == {"eth0": "tcx", "veth7": "tcx"}


def test_links_that_go_while_paused_do_not_come_back(
    observed: ObservedInterfaces, kernel: FakeMap, tc: FakeTc
) -> None:
    observed.follow(BOTH, {2, 7})
    observed.pause()
    observed.follow({2: ETH0}, {2}, gone=[7])
    observed.resume()
    assert tc.attached == ["eth0"]
    assert set(kernel.entries) == {2}


def test_an_interface_that_cannot_be_resumed_is_a_failure(
    observed: ObservedInterfaces, kernel: FakeMap, tc: FakeTc
) -> None:
    observed.follow(BOTH, {2, 7})
    observed.pause()
    tc.broken = frozenset({"eth0"})
    assert observed.resume() is True
    assert observed.observed == {7: VETH}
    assert observed.failures == {"eth0": "attaching to eth0: No such device"}
    assert set(kernel.entries) == {7}
