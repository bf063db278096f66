from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from palomar_bpf import links as links_module
from palomar_bpf.links import Link, LinkChanges, LinkWatcher, choose, default_route_devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LO = Link(1, "lo", None, None, None, up=True, ethernet=True)
ETH0 = Link(2, "eth0", None, None, None, up=True, ethernet=True)
TUNNEL = Link(3, "wg0", "wireguard", None, None, up=True, ethernet=False)
POD = Link(4, "lxc4", "veth", 0, 2, up=True, ethernet=True)
PAIR = Link(5, "pair5", "veth", None, 6, up=True, ethernet=True)
ALL = [LO, ETH0, TUNNEL, POD, PAIR]


def test_all_veths_and_the_default_route_are_watched_by_default() -> None:
    assert choose(ALL, (), {2}) == {2, 4, 5}
    assert choose(ALL, (), set()) == {4, 5}


def test_patterns_replace_the_default() -> None:
    assert choose(ALL, ("eth*", "wg?"), {4}) == {2, 3}
    assert choose(ALL, ("nothing",), {2}) == set()


def test_lo_is_watched_only_by_its_own_name() -> None:
    assert choose(ALL, ("*",), {1}) == {2, 3, 4, 5}
    assert choose(ALL, ("l*", "?o"), {1}) == {4}
    assert choose(ALL, ("lo",), set()) == {1}


def test_the_near_end_of_a_pair_into_another_namespace_is_an_endpoint() -> None:
    assert [link.name for link in ALL if link.is_endpoint] == ["lxc4"]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=10)


@pytest.fixture
def name(live: None) -> Iterator[str]:
    """A prefix for links and a namespace that are removed afterwards; at most 12 characters."""
    prefix = f"pt-l{os.getpid() % 100_000}"
    yield prefix
    subprocess.run(["ip", "netns", "del", prefix], check=False, capture_output=True)
    for ending in "abr":
        subprocess.run(["ip", "link", "del", prefix + ending], check=False, capture_output=True)


class Watch:
    """A watcher and what it reported."""

    def __init__(self) -> None:
        self.changes: queue.Queue[LinkChanges] = queue.Queue(1000)
        self.watcher = LinkWatcher(self.changes.put)
        self.watcher.start()

    def until(self, holds: Callable[[LinkChanges], bool]) -> LinkChanges:
        """The first change that is as wanted."""
        while True:
            change = self.changes.get(timeout=5)
            if holds(change):
                return change

    def link(self, name: str) -> Link | None:
        return next((link for link in self.watcher.links.values() if link.name == name), None)


@pytest.fixture
def watch(live: None) -> Iterator[Watch]:
    made = Watch()
    with contextlib.closing(made.watcher):
        yield made


def came(name: str) -> Callable[[LinkChanges], bool]:
    return lambda change: name in {link.name for link in change.added}


def went(name: str) -> Callable[[LinkChanges], bool]:
    return lambda change: name in {link.name for link in change.removed}


def became(name: str, **values: object) -> Callable[[LinkChanges], bool]:
    def holds(change: LinkChanges) -> bool:
        for _, after in change.changed:
            if after.name == name and dataclasses.replace(after, **values) == after:  # type: ignore[arg-type]
                return True
        return False

    return holds


@pytest.mark.live
def test_links_are_there_as_soon_as_the_watch_has_started(watch: Watch) -> None:
    lo = watch.watcher.links[1]
    assert lo.name == "lo"
    assert lo.kind is None
    assert lo.ethernet
    assert watch.changes.empty()


@pytest.mark.live
def test_links_that_come_change_and_go_are_reported(watch: Watch, name: str) -> None:
    ip("link", "add", name + "a", "type", "veth", "peer", "name", name + "b")
    watch.until(lambda change: came(name + "a")(change) or watch.link(name + "a") is not None)
    near, far = watch.link(name + "a"), watch.link(name + "b")
    assert near is not None
    assert far is not None
    assert near.kind == "veth"
    assert near.peer_ifindex == far.ifindex
    assert not near.up
    ip("link", "set", name + "a", "up")
    watch.until(became(name + "a", up=True))
    ip("link", "set", name + "a", "down")
    ip("link", "set", name + "a", "name", name + "r")
    watch.until(became(name + "r", ifindex=near.ifindex))
    ip("link", "del", name + "r")
    watch.until(went(name + "r"))
    assert watch.link(name + "r") is None


@pytest.mark.live
def test_a_link_becomes_an_endpoint_when_its_peer_moves(watch: Watch, name: str) -> None:
    ip("netns", "add", name)
    ip("link", "add", name + "a", "type", "veth", "peer", "name", name + "b")
    watch.until(lambda _: watch.link(name + "a") is not None)
    near = watch.link(name + "a")
    assert near is not None
    assert not near.is_endpoint
    ip("link", "set", name + "b", "netns", name)
    watch.until(lambda _: (link := watch.link(name + "a")) is not None and link.is_endpoint)
    ip("-n", name, "link", "set", name + "b", "netns", str(os.getpid()))
    watch.until(lambda _: (link := watch.link(name + "a")) is not None and not link.is_endpoint)


@pytest.mark.live
def test_a_pair_born_across_namespaces_is_an_endpoint(watch: Watch, name: str) -> None:
    ip("netns", "add", name)
    ip("link", "add", name + "a", "type", "veth", "peer", "name", "eth0", "netns", name)
    watch.until(lambda _: watch.link(name + "a") is not None)
    near = watch.link(name + "a")
    assert near is not None
    assert near.is_endpoint


@pytest.mark.live
def test_leaving_a_bridge_is_not_vanishing(watch: Watch, name: str) -> None:
    ip("link", "add", name + "r", "type", "bridge")
    ip("link", "add", name + "a", "type", "veth", "peer", "name", name + "b")
    ip("link", "set", name + "a", "master", name + "r")
    ip("link", "set", name + "a", "nomaster")
    ip("link", "del", name + "r")
    change = watch.until(lambda change: watch.link(name + "r") is None and bool(change.removed))
    assert name + "a" not in {link.name for link in change.removed}
    assert watch.link(name + "a") is not None


@pytest.mark.live
def test_a_link_replaced_under_its_index_is_removed_and_added(name: str) -> None:
    ip("link", "add", name + "a", "type", "bridge")
    held = threading.Event()
    changes: queue.Queue[LinkChanges] = queue.Queue(1000)

    def slow(change: LinkChanges) -> None:
        changes.put(change)
        held.wait(5)

    watcher = LinkWatcher(slow)
    watcher.start()
    with contextlib.closing(watcher):
        index = next(link.ifindex for link in watcher.links.values() if link.name == name + "a")
        ip("link", "set", name + "a", "up")  # The callback now keeps the watcher from reading.
        changes.get(timeout=5)
        ip("link", "del", name + "a")
        ip("link", "add", name + "a", "index", str(index), "type", "bridge")
        held.set()
        change = changes.get(timeout=5)
    # Links of other tests, whose namespaces the kernel takes apart at its leisure, may go as well.
    assert [link.ifindex for link in change.removed if link.name == name + "a"] == [index]
    assert [link.ifindex for link in change.added if link.name == name + "a"] == [index]


@pytest.mark.live
def test_too_many_changes_at_once_are_caught_up_with(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "_SOCKET_BUFFER_BYTES", 4096)
    ip("link", "add", name + "a", "type", "veth", "peer", "name", name + "b")
    held = threading.Event()
    changes: queue.Queue[LinkChanges] = queue.Queue(1000)

    def slow(change: LinkChanges) -> None:
        changes.put(change)
        held.wait(10)

    watcher = LinkWatcher(slow)
    watcher.start()
    with contextlib.closing(watcher):
        ip("link", "set", name + "a", "up")
        changes.get(timeout=5)
        for _ in range(10):
            ip("link", "set", name + "a", "down")
            ip("link", "set", name + "a", "up")
        ip("link", "del", name + "a")
        held.set()
        while not went(name + "a")(changes.get(timeout=5)):
            pass
        assert watcher.overruns > 0
        assert name + "b" not in {link.name for link in watcher.links.values()}


@pytest.mark.live
def test_a_faulty_consumer_does_not_end_the_watch(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    changes: queue.Queue[LinkChanges] = queue.Queue(1000)

    def faulty(change: LinkChanges) -> None:
        changes.put(change)
        raise RuntimeError("a bug")

    watcher = LinkWatcher(faulty)
    watcher.start()
    with contextlib.closing(watcher):
        ip("link", "add", name + "a", "type", "bridge")
        changes.get(timeout=5)
        ip("link", "del", name + "a")
        while not went(name + "a")(changes.get(timeout=5)):
            pass
    assert "a bug" in caplog.text


@pytest.mark.live
def test_a_failure_while_following_is_logged_counted_and_made_good(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_links, faults = links_module._list_links, iter([OSError("no list"), None])

    def list_at_the_second_try() -> dict[int, Link]:
        if fault := next(faults, None):
            raise fault
        return list_links()

    def take(*_: object) -> None:
        raise ValueError("no message of links")

    monkeypatch.setattr(links_module, "_RETRY_MS", 10)
    watch = Watch()
    with contextlib.closing(watch.watcher):
        monkeypatch.setattr(links_module, "_list_links", list_at_the_second_try)
        with monkeypatch.context() as broken:
            broken.setattr(LinkWatcher, "_take", take)
            ip("link", "add", name + "a", "type", "bridge")
            while watch.watcher.failures == 0:
                time.sleep(0.01)
        watch.until(came(name + "a"))
        assert watch.watcher.failures >= 2
        monkeypatch.setattr(links_module, "_list_links", list_links)
        ip("link", "del", name + "a")
        watch.until(went(name + "a"))
    assert "no message of links" in caplog.text


@pytest.mark.live
def test_closing_twice_does_no_harm(watch: Watch) -> None:
    watch.watcher.close()
    watch.watcher.close()


@pytest.mark.live
def test_default_routes_are_found_in_both_families_and_over_several_hops(name: str) -> None:
    """In a namespace of its own, so that this host's routes do not matter."""
    ip("netns", "add", name)
    for number, device in enumerate(("d0", "d1", "d2", "d3")):
        ip("-n", name, "link", "add", device, "type", "bridge")
        ip("-n", name, "address", "add", f"198.51.100.{number * 8 + 1}/29", "dev", device)
        ip("-n", name, "address", "add", f"2001:db8:{number}::1/64", "dev", device, "nodad")
        ip("-n", name, "link", "set", device, "up")
    hops = ("nexthop", "via", "198.51.100.2", "nexthop", "via", "198.51.100.10")
    ip("-n", name, "route", "add", "default", *hops)
    ip("-n", name, "-6", "route", "add", "default", "via", "2001:db8:2::2")
    ip("-n", name, "route", "add", "default", "via", "198.51.100.26", "table", "77")
    found: list[set[int]] = []

    def look() -> None:
        with open(f"/run/netns/{name}") as namespace:  # noqa: PTH123 - only its descriptor is used
            enter_namespace(namespace.fileno())
        found.append(default_route_devices())
        found.append({link_index(device) for device in ("d0", "d1", "d2")})

    thread = threading.Thread(target=look)  # A namespace is a thread's own.
    thread.start()
    thread.join()
    assert found[0] == found[1]


def enter_namespace(fd: int) -> None:
    import ctypes  # noqa: PLC0415 - os.setns comes with Python 3.12

    clone_newnet = 0x40000000
    assert ctypes.CDLL(None, use_errno=True).setns(fd, clone_newnet) == 0


def link_index(device: str) -> int:
    import socket  # noqa: PLC0415 - beside its only user

    return socket.if_nametoindex(device)
