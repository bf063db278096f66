"""Names of this namespace's interfaces."""

from __future__ import annotations

import socket
import struct

from palomar_server.link_names import LinkNames, shares_network


def test_changes_are_told_once() -> None:
    links = {1: "lo", 7: "eth0"}
    names = LinkNames(links.items)
    assert names.changes() == {"1": "lo", "7": "eth0"}
    assert names.changes() == {}
    links[7] = "uplink"
    links[9] = "lxc9"
    assert names.changes() == {"7": "uplink", "9": "lxc9"}
    del links[1]
    assert names.changes() == {"1": None}


def test_links_of_this_machine_are_there() -> None:
    assert "lo" in LinkNames().changes().values()


def test_a_list_that_fails_is_no_news() -> None:
    def fail() -> list[tuple[int, str]]:
        raise OSError

    assert LinkNames(fail).changes() == {}


def test_one_end_of_a_pair_shares_the_network_of_the_other() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert shares_network(left)


def test_a_peer_that_cannot_be_looked_at_shares_nothing() -> None:
    class Foreign(socket.socket):
        def getsockopt(self, *_: object) -> bytes:  # type: ignore[override]  # as of another PID namespace
            return struct.pack("=iII", 0, 0, 0)

    with Foreign(socket.AF_UNIX) as foreign:
        assert not shares_network(foreign)
