"""Which network interfaces there are, kept current, and which of them to watch.

In go rtnetlink messages of the network namespace the caller is in; out come `Link`s, and a callback
when they change. Called by `palomar_bpf.capture`. pyroute2 decodes the messages (rtnetlink(7),
include/uapi/linux/if_link.h); the socket is our own, to learn of its overruns.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import logging
import os
import select
import socket
import struct
import threading
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

logger = logging.getLogger(__name__)

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWROUTE, _RTM_DELROUTE = 24, 25
_NLM_F_REQUEST = 0x1
_GROUPS = 0x1 | 0x40 | 0x400
"""RTMGRP_LINK, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE."""
_RTN_UNICAST = 1
_RT_TABLE_MAIN = 254

_HEADER = struct.Struct("=IHHII")
_GET_LINK = struct.Struct("=IHHIIBxHiII")
_ARPHRD_ETHER, _ARPHRD_LOOPBACK = 1, 772
_IFF_UP = 1

_RECEIVE_BYTES = 64 * 1024
"""More than any message has."""
_LIST_TRIES = 10
_SO_RCVBUFFORCE = 33
"""SO_RCVBUF beyond net.core.rmem_max, for CAP_NET_ADMIN; include/uapi/asm-generic/socket.h."""
_RETRY_MS = 1000
"""Pause after something that was not foreseen, before the links are listed afresh."""
_SOCKET_BUFFER_BYTES = 1024 * 1024
"""Holds a burst of some 500 links; with more, the links are listed afresh."""


@dataclass(frozen=True, slots=True)
class Link:
    """One network interface."""

    ifindex: int
    name: str
    kind: str | None
    """Driver kind such as "veth" or "bridge"; None for hardware and lo."""
    netnsid: int | None
    """Of a veth and the like: our namespace's id for the namespace of the peer, if another."""
    peer_ifindex: int | None
    """Of a veth: the peer's index in its own namespace. Of a VLAN: the lower device."""
    up: bool
    """Whether it is administratively up."""
    ethernet: bool
    """Whether packets at tc start with an Ethernet header; true for lo, false for tunnels."""

    @property
    def is_endpoint(self) -> bool:
        """Whether this is the near end of a veth pair that leads into another namespace."""
        return self.kind == "veth" and self.netnsid is not None


@dataclass(frozen=True, slots=True)
class LinkChanges:
    """What is different from the snapshot before."""

    added: tuple[Link, ...]
    removed: tuple[Link, ...]
    changed: tuple[tuple[Link, Link], ...]
    """(before, after): renamed, up or down, or the peer moved."""
    default_route: bool
    """Whether a default route came or went."""


def choose(links: Iterable[Link], globs: Sequence[str], default_route: Collection[int]) -> set[int]:
    """The indices of the links to watch.

    Args:
        links: All links.
        globs: Patterns (fnmatch) of interface names. Without any: all veths, and the devices of
            the default route. lo is watched only if named in full, since everything on it is
            local and seen twice.
        default_route: What `default_route_devices()` says.
    """
    if not globs:
        return {
            link.ifindex for link in links if link.kind == "veth" or link.ifindex in default_route
        }
    return {
        link.ifindex
        for link in links
        if any(
            fnmatch.fnmatchcase(link.name, glob)
            for glob in globs
            if link.name != "lo" or glob == "lo"
        )
    }


def default_route_devices() -> set[int]:
    """The indices of the links that default routes of the main table lead to, IPv4 and IPv6."""
    devices: set[Any] = set()
    with IPRoute() as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            for route in netlink.get_routes(family=family, table=_RT_TABLE_MAIN):
                if route["dst_len"] == 0 and route["type"] == _RTN_UNICAST:
                    hops = route.get("multipath") or [route]
                    devices.update(hop.get("oif") for hop in hops)
    devices.discard(None)  # a route by a nexthop object may name none
    return devices


class LinkWatcher:
    """A thread that follows the links of the network namespace it was started in.

    Args:
        on_change: Called on the watcher's thread after `links` changed or a default route did;
            many messages at once make one call. What it raises is logged.
    """

    def __init__(self, on_change: Callable[[LinkChanges], None]) -> None:
        self._on_change = on_change
        self._links: dict[int, Link] = {}
        self._published: Mapping[int, Link] = MappingProxyType({})
        self._deleted: set[int] = set()  # since the last report
        self._routes_changed = False
        self._socket: socket.socket | None = None
        self._stop_fd = -1
        self._thread: threading.Thread | None = None
        self._decoder = MarshalRtnl()
        self.overruns = 0
        """How often the kernel had more changes than the socket could hold."""
        self.failures = 0
        """How often the links could not be followed for another reason, which was logged."""

    @property
    def links(self) -> Mapping[int, Link]:
        """By index, as of the last change; a snapshot that does not change any more."""
        return self._published

    def start(self) -> None:
        """List the links, without a callback, and begin to follow them.

        Raises:
            OSError: netlink is not to be had.
        """
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket = sock
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        sock.setblocking(False)  # noqa: FBT003 the socket's own signature
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _SOCKET_BUFFER_BYTES)
        sock.bind((0, _GROUPS))
        self._links = _list_links()  # What happens meanwhile waits in the socket.
        self._changes()
        self._thread = threading.Thread(target=self._run, name="palomar-links", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; idempotent, and not to be called from `on_change`."""
        if self._thread is not None:
            os.eventfd_write(self._stop_fd, 1)
            self._thread.join()
            self._thread = None
        if self._socket is not None:
            self._socket.close()
            os.close(self._stop_fd)
            self._socket = None

    def _run(self) -> None:
        sock = self._socket
        assert sock is not None  # noqa: S101 start() opened it
        stop, either = select.poll(), select.poll()
        stop.register(self._stop_fd, select.POLLIN)
        either.register(self._stop_fd, select.POLLIN)
        either.register(sock, select.POLLIN)
        in_step = True
        while True:
            ready = either.poll() if in_step else stop.poll(_RETRY_MS)
            if any(fd == self._stop_fd for fd, _ in ready):
                return
            try:
                self._follow(sock, in_step=in_step)
                in_step = True
            except Exception:  # the thread's border: who reads `links` cannot tell that it ended
                self.failures += 1
                in_step = False
                logger.exception("links could not be followed; listing them afresh in a second")

    def _follow(self, sock: socket.socket, *, in_step: bool) -> None:
        """Take in what the kernel tells and report it; list all links if some of it is missing."""
        complete = self._drain(sock)
        if not complete:
            self.overruns += 1
            logger.warning("links changed faster than could be followed; listing them afresh")
        if not (complete and in_step):
            # What was lost is younger than all that was received; with that out of the way,
            # nothing old can come after the list.
            self._links = _list_links()
        self._report()

    def _report(self) -> None:
        changes = self._changes()
        if changes is None:
            return
        try:
            self._on_change(changes)
        except Exception:  # a consumer's fault must not end the watch
            logger.exception("a change of links was not dealt with")

    def _changes(self) -> LinkChanges | None:
        """Publish the links and tell how they differ from those published before; None: not."""
        before, after = self._published, self._links
        # A link that went has nothing in common with one that came under its index.
        same = (before.keys() & after.keys()) - self._deleted
        changes = LinkChanges(
            added=tuple(link for index, link in after.items() if index not in same),
            removed=tuple(link for index, link in before.items() if index not in same),
            changed=tuple(
                (before[index], after[index])
                for index in sorted(same)
                if before[index] != after[index]
            ),
            default_route=self._routes_changed,
        )
        self._deleted.clear()
        self._routes_changed = False
        if not (changes.added or changes.removed or changes.changed or changes.default_route):
            return None
        self._published = MappingProxyType(dict(after))
        return changes

    def _drain(self, sock: socket.socket) -> bool:
        """Take in all messages there are; False if the kernel had to throw some away."""
        complete = True
        while True:
            try:
                data = sock.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return complete
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                complete = False
                continue
            for kind, message in _messages(data):
                self._take(kind, message)

    def _take(self, kind: int, message: bytes) -> None:
        if kind in {_RTM_NEWLINK, _RTM_DELLINK}:
            # Bridges speak of their ports in the same messages, with another family.
            if message[_HEADER.size] == socket.AF_UNSPEC:
                for decoded in self._decoder.parse(message):
                    self._take_link(_link(decoded), is_there=kind == _RTM_NEWLINK)
        elif kind in {_RTM_NEWROUTE, _RTM_DELROUTE}:
            destination_bits = message[_HEADER.size + 1]
            self._routes_changed = self._routes_changed or destination_bits == 0

    def _take_link(self, link: Link, *, is_there: bool) -> None:
        was_there = link.ifindex in self._links
        if is_there:
            self._links[link.ifindex] = link
        else:
            self._links.pop(link.ifindex, None)
            self._deleted.add(link.ifindex)
        # When one end of a pair leaves for another namespace or comes back, the kernel does not
        # say what that makes of the other end.
        if was_there != is_there and link.kind == "veth" and link.peer_ifindex in self._links:
            self._ask(link.peer_ifindex)

    def _ask(self, ifindex: int) -> None:
        """Have the kernel tell of one link, in order with everything else it tells."""
        assert self._socket is not None  # noqa: S101 only called while it is open
        length = _GET_LINK.size
        request = _GET_LINK.pack(length, _RTM_GETLINK, _NLM_F_REQUEST, 0, 0, 0, 0, ifindex, 0, 0)
        with contextlib.suppress(BlockingIOError):
            self._socket.send(request)


def _list_links() -> dict[int, Link]:
    """All links by index.

    Raises:
        OSError: netlink is not to be had, or links change all the time.
    """
    with IPRoute() as netlink:
        for _ in range(_LIST_TRIES):
            with contextlib.suppress(NetlinkDumpInterrupted):
                return {link.ifindex: link for link in map(_link, netlink.get_links())}
    raise OSError(errno.EINTR, f"links changed while they were listed, {_LIST_TRIES} times")


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a datagram into (type, message with its header)."""
    position = 0
    while position + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, position)
        if length < _HEADER.size:
            return
        yield kind, data[position : position + length]
        position += (length + 3) // 4 * 4


def _link(decoded: Any) -> Link:
    netnsid = decoded.get("link_netnsid")
    return Link(
        ifindex=decoded["index"],
        name=decoded.get("ifname") or "",
        kind=decoded.get(("linkinfo", "kind")),
        netnsid=netnsid if netnsid is not None and netnsid >= 0 else None,
        peer_ifindex=decoded.get("link") or None,
        up=bool(decoded["flags"] & _IFF_UP),
        ethernet=decoded["ifi_type"] in {_ARPHRD_ETHER, _ARPHRD_LOOPBACK},
    )
