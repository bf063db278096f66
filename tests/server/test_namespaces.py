from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from palomar_server import namespaces
from palomar_server.namespaces import NamespaceState, NamespaceWatcher
from palomar_server.rtnetlink import Changes, RouteNotices, RouteQueries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = [pytest.mark.live, pytest.mark.usefixtures("live")]

NETNS = Path("/run/netns")
WAIT_S = 10.0
P = f"pt-n{os.getpid()}"
"""What all names here begin with, so that nobody else's are touched."""


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def inode(name: str) -> int:
    return (NETNS / name).stat().st_ino


def ifindex(name: str) -> int:
    return int(Path(f"/sys/class/net/{name}/ifindex").read_text(encoding="ascii"))


class Journal:
    """Collects what the watcher tells and waits for it; only of names that begin with `P`."""

    def __init__(self) -> None:
        self.told: list[tuple[NamespaceState | None, NamespaceState | None]] = []
        self.now: dict[str, NamespaceState] = {}
        self.fresh = threading.Condition()

    def __call__(self, before: NamespaceState | None, after: NamespaceState | None) -> None:
        state = after or before
        assert state is not None
        if not state.name.startswith(P):
            return
        with self.fresh:
            assert self.now.get(state.name) == before
            self.told.append((before, after))
            if after is None:
                del self.now[state.name]
            else:
                self.now[state.name] = after
            self.fresh.notify_all()

    def wait(self, name: str, expected: Callable[[NamespaceState | None], bool]) -> None:
        with self.fresh:
            met = self.fresh.wait_for(lambda: expected(self.now.get(name)), WAIT_S)
        assert met, (name, self.now.get(name), self.told)


def has(*addresses: str) -> Callable[[NamespaceState | None], bool]:
    return lambda state: state is not None and set(addresses) <= set(state.addresses)


def leads_from(*ifindexes: int) -> Callable[[NamespaceState | None], bool]:
    return lambda state: state is not None and state.host_ifindexes == ifindexes


def is_gone(state: NamespaceState | None) -> bool:
    return state is None


@pytest.fixture
def clean() -> Iterator[None]:
    yield
    for path in NETNS.glob(f"{P}*"):
        subprocess.run(["ip", "netns", "del", path.name], check=False, capture_output=True)
        path.unlink(missing_ok=True)
    for path in Path("/sys/class/net").glob(f"{P}*"):
        subprocess.run(["ip", "link", "del", path.name], check=False, capture_output=True)


@pytest.fixture
def journal(clean: None) -> Iterator[Journal]:
    journal = Journal()
    watcher = NamespaceWatcher(NETNS, journal)
    watcher.start()
    yield journal
    watcher.close()


def make(name: str, host_end: str, *addresses: str) -> None:
    ip("netns", "add", name)
    ip("link", "add", host_end, "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", host_end, "up")
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "link", "set", "eth0", "up")
    for address in addresses:
        ip("-n", name, "address", "add", address, "dev", "eth0", "nodad")


def test_what_exists_is_told_before_start_returns(clean: None) -> None:
    make(f"{P}a", f"{P}a0", "10.91.0.2/24", "fd91::2/64")
    journal = Journal()
    watcher = NamespaceWatcher(NETNS, journal)
    watcher.start()
    try:
        state = journal.now[f"{P}a"]
        assert state.inode == inode(f"{P}a")
        assert state.host_ifindexes == (ifindex(f"{P}a0"),)
        assert {"10.91.0.2", "fd91::2"} <= set(state.addresses)
        assert not {"127.0.0.1", "::1"} & set(state.addresses)
        assert state in watcher.states()
    finally:
        watcher.close()


def test_an_address_set_after_creation_arrives_and_leaves(journal: Journal) -> None:
    ip("netns", "add", f"{P}a")
    journal.wait(f"{P}a", lambda state: state is not None and state.addresses == ())
    make_link = ("link", "add", f"{P}a0", "type", "veth", "peer", "name", "eth0", "netns", f"{P}a")
    ip(*make_link)
    journal.wait(f"{P}a", lambda state: state is not None and len(state.host_ifindexes) == 1)
    ip("-n", f"{P}a", "link", "set", "eth0", "up")
    ip("-n", f"{P}a", "address", "add", "10.91.0.2/24", "dev", "eth0")
    journal.wait(f"{P}a", has("10.91.0.2"))
    ip("-n", f"{P}a", "address", "add", "fd91::2/64", "dev", "eth0")
    journal.wait(f"{P}a", has("10.91.0.2", "fd91::2"))
    ip("-n", f"{P}a", "address", "del", "10.91.0.2/24", "dev", "eth0")
    journal.wait(f"{P}a", lambda state: state is not None and "10.91.0.2" not in state.addresses)


def test_link_local_addresses_come_last(journal: Journal) -> None:
    make(f"{P}a", f"{P}a0", "fd91::2/64", "10.91.0.2/24")
    journal.wait(f"{P}a", lambda state: state is not None and len(state.addresses) == 3)
    first, second, third = journal.now[f"{P}a"].addresses
    assert (first, second) == ("10.91.0.2", "fd91::2")
    assert third.startswith("fe80::")


def test_a_deleted_namespace_goes(journal: Journal) -> None:
    make(f"{P}a", f"{P}a0", "10.91.0.2/24")
    journal.wait(f"{P}a", has("10.91.0.2"))
    ip("netns", "del", f"{P}a")
    journal.wait(f"{P}a", is_gone)
    assert journal.told[-1][1] is None


def test_a_watched_namespace_is_free_to_die(journal: Journal) -> None:
    make(f"{P}a", f"{P}a0", "10.91.0.2/24")
    journal.wait(f"{P}a", has("10.91.0.2"))
    ip("netns", "del", f"{P}a")
    # The kernel removes the pair with the namespace, and only once nobody holds that.
    deadline_s = time.monotonic() + WAIT_S
    while Path(f"/sys/class/net/{P}a0").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_recreated_name_goes_first_and_comes_then(journal: Journal) -> None:
    make(f"{P}a", f"{P}a0", "10.91.0.2/24")
    journal.wait(f"{P}a", has("10.91.0.2"))
    old = inode(f"{P}a")
    ip("netns", "del", f"{P}a")
    make(f"{P}a", f"{P}a1", "10.91.0.3/24")
    new = ifindex(f"{P}a1")
    journal.wait(f"{P}a", has("10.91.0.3"))
    journal.wait(f"{P}a", leads_from(new))
    state = journal.now[f"{P}a"]
    assert state.inode == inode(f"{P}a")
    assert state.host_ifindexes == (new,)
    assert "10.91.0.2" not in state.addresses
    if state.inode != old:
        gone = [before for before, after in journal.told if after is None]
        assert [before.inode for before in gone if before is not None] == [old]


def test_the_host_end_is_the_one_the_namespace_itself_names(journal: Journal) -> None:
    # Equal numbers on all sides: the same ifindex stands for other links in each namespace.
    for name in (f"{P}a", f"{P}b", f"{P}c"):
        make(name, f"{name}0")
    ip("-n", f"{P}a", "link", "add", f"{P}x", "type", "veth", "peer", "name", f"{P}y")
    ip("-n", f"{P}a", "link", "set", f"{P}y", "netns", f"{P}b")
    for name in (f"{P}a", f"{P}b", f"{P}c"):
        end = ifindex(f"{name}0")
        journal.wait(name, leads_from(end))
        assert f"@if{end}:" in ip("-n", name, "link", "show", "eth0")


def test_a_macvlan_on_a_host_link_is_no_host_end(journal: Journal) -> None:
    make(f"{P}a", f"{P}a0")
    journal.wait(f"{P}a", leads_from(ifindex(f"{P}a0")))
    ip("link", "add", f"{P}m", "link", f"{P}a0", "type", "macvlan")
    ip("netns", "add", f"{P}b")
    ip("link", "set", f"{P}m", "netns", f"{P}b", "name", "eth0")
    ip("-n", f"{P}b", "link", "set", "eth0", "up")
    ip("-n", f"{P}b", "address", "add", "10.91.0.9/24", "dev", "eth0")
    journal.wait(f"{P}b", has("10.91.0.9"))
    assert journal.now[f"{P}b"].host_ifindexes == ()


def test_a_link_that_moves_changes_both_namespaces(journal: Journal) -> None:
    make(f"{P}a", f"{P}a0")
    ip("netns", "add", f"{P}b")
    end = ifindex(f"{P}a0")
    journal.wait(f"{P}a", leads_from(end))
    ip("-n", f"{P}a", "link", "set", "eth0", "netns", f"{P}b")
    journal.wait(f"{P}b", leads_from(end))
    journal.wait(f"{P}a", leads_from())


def test_files_that_are_no_network_namespace_are_passed_over(journal: Journal) -> None:
    ip("netns", "add", f"{P}a")
    (NETNS / f"{P}stale").touch()
    (NETNS / f"{P}dangling").symlink_to("/proc/0/ns/net")
    (NETNS / f"{P}uts").symlink_to("/proc/self/ns/uts")
    (NETNS / f"{P}own").symlink_to(f"/proc/{os.getpid()}/ns/net")
    os.mkfifo(NETNS / f"{P}fifo")
    ip("netns", "add", f"{P}z")
    journal.wait(f"{P}z", lambda state: state is not None)
    assert set(journal.now) == {f"{P}a", f"{P}z"}


def test_a_linked_namespace_of_another_user_namespace_is_followed(journal: Journal) -> None:
    with subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", "echo; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as container:
        assert container.stdout is not None
        assert container.stdout.readline()
        (NETNS / f"{P}u").symlink_to(f"/proc/{container.pid}/ns/net")
        ip("link", "add", f"{P}u0", "type", "veth", "peer", "name", "eth0", "netns", f"{P}u")
        ip("-n", f"{P}u", "address", "add", "10.91.0.7/24", "dev", "eth0")
        journal.wait(f"{P}u", has("10.91.0.7"))
        assert journal.now[f"{P}u"].host_ifindexes == (ifindex(f"{P}u0"),)
        container.communicate(b"\n")
    journal.wait(f"{P}u", is_gone)


def test_a_directory_made_later_is_watched(clean: None, tmp_path: Path) -> None:
    journal = Journal()
    directory = tmp_path / "deep" / "netns"
    watcher = NamespaceWatcher(directory, journal)
    watcher.start()
    try:
        ip("netns", "add", f"{P}a")
        directory.mkdir(parents=True)
        (directory / f"{P}link").symlink_to(NETNS / f"{P}a")
        journal.wait(f"{P}link", lambda state: state is not None)
        (directory / f"{P}link").rename(directory / f"{P}renamed")
        journal.wait(f"{P}renamed", lambda state: state is not None)
        journal.wait(f"{P}link", is_gone)
    finally:
        watcher.close()


def test_namespaces_beyond_the_maximum_are_ignored_and_counted(clean: None, tmp_path: Path) -> None:
    for name in (f"{P}a", f"{P}b", f"{P}c"):
        ip("netns", "add", name)
        (tmp_path / name).symlink_to(NETNS / name)
    (tmp_path / f"{P}a").rename(tmp_path / f"{P}aside")
    (tmp_path / f"{P}aside").rename(tmp_path.parent / f"{P}aside")
    journal = Journal()
    watcher = NamespaceWatcher(tmp_path, journal, namespaces_max=1)
    watcher.start()
    try:
        assert set(journal.now) == {f"{P}b"}
        assert watcher.ignored == 1
        # One that is followed already keeps its place.
        (tmp_path.parent / f"{P}aside").rename(tmp_path / f"{P}a")
        (tmp_path / f"{P}c").unlink()
        ip("-n", f"{P}b", "address", "add", "10.91.0.2/32", "dev", "lo")
        journal.wait(f"{P}b", has("10.91.0.2"))
        assert f"{P}a" not in journal.now
        (tmp_path / f"{P}b").unlink()
        journal.wait(f"{P}a", lambda state: state is not None)
    finally:
        watcher.close()


def test_a_failing_listener_is_logged_and_does_not_stop_the_watcher(clean: None) -> None:
    journal = Journal()

    def listen(before: NamespaceState | None, after: NamespaceState | None) -> None:
        journal(before, after)
        raise ValueError("no")

    watcher = NamespaceWatcher(NETNS, listen)
    with capture_logs() as logs:
        watcher.start()
        try:
            ip("netns", "add", f"{P}a")
            journal.wait(f"{P}a", lambda state: state is not None)
            ip("netns", "del", f"{P}a")
            journal.wait(f"{P}a", is_gone)
        finally:
            watcher.close()
    assert len([entry for entry in logs if entry.get("exc_info")]) >= 2


def test_what_was_not_foreseen_is_logged_counted_and_made_good(
    clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, drain = RouteQueries.pair_ends, RouteNotices.drain
    faults = {"queries": 1, "notices": 1}

    def pair_ends(queries: RouteQueries) -> dict[int, tuple[int, ...]]:
        if faults["queries"]:
            faults["queries"] -= 1
            raise ValueError("no answer of links")
        return ask(queries)

    def drain_notices(notices: RouteNotices) -> Changes:
        changes = drain(notices)
        if faults["notices"]:
            faults["notices"] -= 1
            raise KeyError("no notice of links")
        return changes

    monkeypatch.setattr(namespaces, "_PAUSE_S", 0.01)
    monkeypatch.setattr(RouteQueries, "pair_ends", pair_ends)
    monkeypatch.setattr(RouteNotices, "drain", drain_notices)
    journal = Journal()
    watcher = NamespaceWatcher(NETNS, journal)
    with capture_logs() as logs:
        watcher.start()
        try:
            make(f"{P}a", f"{P}a0", "10.91.0.2/24")
            journal.wait(f"{P}a", has("10.91.0.2"))
            journal.wait(f"{P}a", leads_from(ifindex(f"{P}a0")))
        finally:
            watcher.close()
    assert faults == {"queries": 0, "notices": 0}
    assert watcher.failures == 2
    assert len([entry for entry in logs if entry.get("exc_info")]) == 2


def test_close_leaves_no_thread_and_no_descriptor(clean: None) -> None:
    ip("netns", "add", f"{P}a")
    threads = threading.active_count()
    descriptors = sorted(Path("/proc/self/fd").iterdir())
    watcher = NamespaceWatcher(NETNS, lambda *_: None)
    watcher.start()
    watcher.close()
    watcher.close()
    assert threading.active_count() == threads
    assert sorted(Path("/proc/self/fd").iterdir()) == descriptors


def switches(status: Path) -> list[str]:
    lines = status.read_text(encoding="ascii").splitlines()
    return [line for line in lines if "ctxt_switches" in line]


def test_an_idle_watcher_sleeps_for_good(clean: None) -> None:
    ip("netns", "add", f"{P}a")
    watcher = NamespaceWatcher(NETNS, lambda *_: None)
    watcher.start()
    try:
        thread = next(each for each in threading.enumerate() if each.name == "namespaces")
        status = Path(f"/proc/self/task/{thread.native_id}/status")

        def is_asleep_for_half_a_second() -> bool:
            before = switches(status)
            select.select([], [], [], 0.5)
            return switches(status) == before

        # Several tries: somebody else may be making namespaces on this machine.
        assert any(is_asleep_for_half_a_second() for _ in range(20))
    finally:
        watcher.close()


def test_addresses_of_a_new_namespace_are_found_though_no_notice_of_them_came(
    clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain = RouteNotices.drain

    def drain_for_nothing(notices: RouteNotices) -> Changes:
        drain(notices)
        return Changes()

    monkeypatch.setattr(RouteNotices, "drain", drain_for_nothing)
    monkeypatch.setattr(namespaces, "_VERIFY_S", 1.0)
    journal = Journal()
    watcher = NamespaceWatcher(NETNS, journal)
    watcher.start()
    try:
        make(f"{P}v", f"{P}v0", "10.92.0.2/24")
        journal.wait(f"{P}v", has("10.92.0.2"))
    finally:
        watcher.close()
