"""Questions to the kernel's rtnetlink about other network namespaces, without entering them.

In: a file descriptor of a namespace, or the kernel's number for it (*nsid*: one namespace's own
number for another; here always the number in the namespace of this process). Out: nsids, addresses,
which of our veths lead there, and which of these changed. Called by `namespaces`, from one thread.

No `setns`, no socket per namespace: a request names its target (`IFA_TARGET_NETNSID`, Linux 4.20),
and one multicast socket hears all namespaces that have an nsid (`NETLINK_LISTEN_ALL_NSID`, Linux
4.2). That leaves namespaces free to die, and costs two file descriptors however many there are.

Formats: RFC 3549 and the kernel's include/uapi/linux/{netlink,rtnetlink,if_addr,if_link}.h and
net_namespace.h. All integers are in native byte order.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_LISTEN_ALL_NSID = 8
_GET_STRICT_CHK = 12

_GROUP_LINK = 1
_GROUP_IPV4_ADDRESS = 5
_GROUP_IPV6_ADDRESS = 9
_GROUP_NSID = 28

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INT32 = struct.Struct("=i")
_UINT32 = struct.Struct("=I")
_INTERFACE = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_NAMESPACE = struct.Struct("=B3x")
_ATTRIBUTE_TYPE_MASK = 0x3FFF

_ERROR = 2
_DONE = 3
_NEW_LINK = 16
_DELETED_LINK = 17
_GET_LINK = 18
_NEW_ADDRESS = 20
_DELETED_ADDRESS = 21
_GET_ADDRESS = 22
_NEW_NSID = 88
_DELETED_NSID = 89
_GET_NSID = 90

_FLAG_REQUEST = 0x1
_FLAG_ACK = 0x4
_FLAG_DUMP_INTERRUPTED = 0x10
_FLAG_DUMP = 0x300

_NSID_NUMBER = 1
_NSID_FD = 3
_LINK_PEER = 5
_LINK_INFO = 18
_LINK_EXTENSION_MASK = 29
_LINK_PEER_NSID = 37
_LINK_INFO_KIND = 1
_SKIP_STATISTICS = 1 << 3
_ADDRESS_PEER = 1
_ADDRESS_LOCAL = 2
_ADDRESS_FLAGS = 8
_ADDRESS_TARGET_NSID = 10

_DUPLICATE_DETECTED = 0x08
"""IFA_F_DADFAILED: another host on the link has this address, so it is not the namespace's."""

_RECEIVE_BYTES = 1 << 17
_DUMP_ATTEMPTS_MAX = 3
_DRAIN_MESSAGES_MAX = 256

PAIR_KINDS = frozenset({"veth", "netkit"})
"""Kinds of link whose IFLA_LINK is the other end of a pair. A macvlan's is the device below."""


class Message(NamedTuple):
    """One netlink message: header fields used here, and everything behind the header."""

    type: int
    flags: int
    sequence: int
    body: bytes


def messages(data: bytes) -> Iterator[Message]:
    """Split what one recv returned; stops at the first header that does not fit."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, type_, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield Message(type_, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += length + -length % 4


def attributes(body: bytes, offset: int = 0) -> dict[int, bytes]:
    """Route attributes from `offset` on, by type; stops at the first that does not fit."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(body):
        length, type_ = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size or offset + length > len(body):
            break
        found[type_ & _ATTRIBUTE_TYPE_MASK] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4
    return found


def _attribute(type_: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), type_) + value + bytes(-len(value) % 4)


def _number(values: dict[int, bytes], type_: int, layout: struct.Struct = _INT32) -> int | None:
    value = values.get(type_, b"")
    return int(layout.unpack(value)[0]) if len(value) == layout.size else None


def _address_of(message: Message, nsid: int | None) -> IPAddress | None:
    """The address an RTM_NEWADDR of that namespace announces; None if there is none to use.

    nsid None is our own namespace.
    """
    if message.type != _NEW_ADDRESS or len(message.body) < _ADDRESS.size:
        return None
    values = attributes(message.body, _ADDRESS.size)
    # A kernel that does not know the attribute answers for our own namespace instead, and without
    # it; taking those addresses for the target's would name the wrong endpoint for ever.
    if _number(values, _ADDRESS_TARGET_NSID) != nsid:
        return None
    if (_number(values, _ADDRESS_FLAGS, _UINT32) or 0) & _DUPLICATE_DETECTED:
        return None
    # On a point-to-point link IFA_ADDRESS is the far end and IFA_LOCAL ours; IPv6 has often only
    # the first.
    raw = values.get(_ADDRESS_LOCAL, values.get(_ADDRESS_PEER, b""))
    if len(raw) not in (4, 16):
        return None
    address = ipaddress.ip_address(raw)
    return None if address.is_loopback or address.is_unspecified else address


def _pair_end(message: Message) -> tuple[int, int] | None:
    """(nsid of the other end, our ifindex) if an RTM_NEWLINK tells of such a link."""
    if message.type != _NEW_LINK or len(message.body) < _INTERFACE.size:
        return None
    values = attributes(message.body, _INTERFACE.size)
    kind = attributes(values.get(_LINK_INFO, b"")).get(_LINK_INFO_KIND, b"")
    nsid = _number(values, _LINK_PEER_NSID)
    if nsid is None or nsid < 0 or _LINK_PEER not in values:
        return None
    if kind.rstrip(b"\0").decode("ascii", "replace") not in PAIR_KINDS:
        return None
    return nsid, int(_INTERFACE.unpack_from(message.body)[2])


class RouteQueries:
    """A socket for questions. Not for use from two threads at once."""

    def __init__(self, *, timeout_s: float = 5.0) -> None:
        """Open the socket.

        Args:
            timeout_s: How long one answer may take; the kernel answers in its own time only while
                somebody else holds the lock on network configuration.

        Raises:
            OSError: There is no netlink, or no strict checking (Linux before 4.20).
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sequence = 0
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
            self._socket.settimeout(timeout_s)
        except OSError:
            self._socket.close()
            raise

    def nsid(self, namespace_fd: int) -> int:
        """The nsid of a network namespace, made now if it has none yet.

        Raises:
            OSError: The descriptor is no network namespace (EINVAL), or a number was needed and we
                lack CAP_NET_ADMIN (EPERM).
        """
        target = _NAMESPACE.pack(0) + _attribute(_NSID_FD, _UINT32.pack(namespace_fd))
        number = self._existing_nsid(target)
        if number is None:
            try:
                any_free = _attribute(_NSID_NUMBER, _INT32.pack(-1))
                self._ask(_NEW_NSID, _FLAG_ACK, target + any_free)
            except FileExistsError:
                pass  # Somebody moved a link there meanwhile, which makes a number too.
            number = self._existing_nsid(target)
        if number is None:
            raise OSError(errno.ENODEV, "the kernel gave the network namespace no nsid")
        return number

    def own_nsid(self) -> int | None:
        """The nsid that our own namespace has for itself, if anything gave it one."""
        fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._existing_nsid(_NAMESPACE.pack(0) + _attribute(_NSID_FD, _UINT32.pack(fd)))
        finally:
            os.close(fd)

    def _existing_nsid(self, target: bytes) -> int | None:
        for message in self._ask(_GET_NSID, 0, target):
            if message.type == _NEW_NSID and len(message.body) >= _NAMESPACE.size:
                number = _number(attributes(message.body, _NAMESPACE.size), _NSID_NUMBER)
                return number if number is not None and number >= 0 else None
        return None

    def addresses(self, nsid: int | None) -> list[IPAddress]:
        """All addresses of a namespace but loopback and duplicates, in the kernel's order.

        Args:
            nsid: the namespace; None for our own.

        Raises:
            OSError: No namespace has this nsid any more (EINVAL), we may not ask (EACCES), or the
                answer took too long (TimeoutError).
        """
        target = b"" if nsid is None else _attribute(_ADDRESS_TARGET_NSID, _INT32.pack(nsid))
        answer = self._ask(_GET_ADDRESS, _FLAG_DUMP, _ADDRESS.pack(0, 0, 0, 0, 0) + target)
        return [found for message in answer if (found := _address_of(message, nsid)) is not None]

    def pair_ends(self) -> dict[int, tuple[int, ...]]:
        """Our links of a kind in `PAIR_KINDS` whose other end is in another namespace.

        Both numbers are this namespace's own, told by the kernel in one message per link: the
        ifindex of our end, and the nsid of the other end's namespace. (Inside the other namespace
        the same link has other numbers, which may well be those of an unrelated link here.)

        Returns:
            nsid -> ascending ifindexes.

        Raises:
            OSError: As for `addresses`.
        """
        short = _attribute(_LINK_EXTENSION_MASK, _UINT32.pack(_SKIP_STATISTICS))
        ends: dict[int, list[int]] = {}
        for message in self._ask(_GET_LINK, _FLAG_DUMP, _INTERFACE.pack(0, 0, 0, 0, 0) + short):
            if (end := _pair_end(message)) is not None:
                ends.setdefault(end[0], []).append(end[1])
        return {nsid: tuple(sorted(ifindexes)) for nsid, ifindexes in ends.items()}

    def _ask(self, type_: int, flags: int, body: bytes) -> list[Message]:
        for _ in range(_DUMP_ATTEMPTS_MAX):
            answer = self._ask_once(type_, flags, body)
            if not any(message.flags & _FLAG_DUMP_INTERRUPTED for message in answer):
                break
        # Still interrupted: something changes all the time, and the next notice brings us back.
        return answer

    def _ask_once(self, type_: int, flags: int, body: bytes) -> list[Message]:
        self._sequence += 1
        length = _HEADER.size + len(body)
        header = _HEADER.pack(length, type_, flags | _FLAG_REQUEST, self._sequence, 0)
        self._socket.send(header + body)
        answer: list[Message] = []
        while True:
            for message in messages(self._socket.recv(_RECEIVE_BYTES)):
                if message.sequence != self._sequence:
                    continue  # Late answer to a question that timed out.
                if message.type in (_ERROR, _DONE):
                    code = -_INT32.unpack_from(message.body)[0] if len(message.body) >= 4 else 0  # noqa: PLR2004 -- the int that both bodies open with
                    if code > 0:
                        raise OSError(code, os.strerror(code))
                    return answer
                answer.append(message)
                if not flags & (_FLAG_DUMP | _FLAG_ACK):
                    return answer

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@dataclass(slots=True)
class Changes:
    """What notices since the last look make worth asking about again."""

    links: bool = False
    """A link appeared, went, or changed, here or in a namespace with an nsid."""
    addresses: set[int] = field(default_factory=set)
    """nsids of the namespaces whose addresses changed."""
    ended: set[tuple[int | None, int]] = field(default_factory=set)
    """(in which namespace's numbering, nsid) that ended, and may be another namespace's by now.
    Our own numbering is None, or `RouteQueries.own_nsid` once we have one."""
    overrun: bool = False
    """Notices were lost: anything may have changed."""

    def __bool__(self) -> bool:
        return bool(self.links or self.overrun or self.addresses or self.ended)

    def add(self, other: Changes) -> None:
        """Take in what a later look at the notices gave."""
        self.links |= other.links
        self.addresses |= other.addresses
        self.ended |= other.ended
        self.overrun |= other.overrun


class RouteNotices:
    """A socket that becomes readable when links, addresses or nsids change anywhere."""

    def __init__(self) -> None:
        """Subscribe.

        Raises:
            PermissionError: CAP_NET_BROADCAST is missing.
            OSError: There is no netlink.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(_SOL_NETLINK, _LISTEN_ALL_NSID, 1)
            for group in (_GROUP_LINK, _GROUP_IPV4_ADDRESS, _GROUP_IPV6_ADDRESS, _GROUP_NSID):
                self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
            self._socket.settimeout(0)
        except PermissionError as error:
            self._socket.close()
            what = "following other network namespaces needs CAP_NET_BROADCAST"
            raise PermissionError(error.errno, what) from error
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._socket.fileno()

    def drain(self) -> Changes:
        """Read what has come; never blocks, and reads no more than a bounded number of notices."""
        changes = Changes()
        for _ in range(_DRAIN_MESSAGES_MAX):
            try:
                data, ancillary, *_ = self._socket.recvmsg(_RECEIVE_BYTES, 64)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                changes.overrun = True
                continue
            nsid = next(
                (
                    _INT32.unpack(value)[0]
                    for level, kind, value in ancillary
                    if (level, kind) == (_SOL_NETLINK, _LISTEN_ALL_NSID)
                    and len(value) == _INT32.size
                ),
                None,
            )
            for message in messages(data):
                _note(changes, message, nsid)
        return changes

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _note(changes: Changes, message: Message, nsid: int | None) -> None:
    """Add one notice; `nsid` is the namespace it came from, None for one that has no number."""
    if message.type in (_NEW_LINK, _DELETED_LINK):
        changes.links = True
    elif message.type in (_NEW_ADDRESS, _DELETED_ADDRESS) and nsid is not None:
        changes.addresses.add(nsid)
    elif message.type == _DELETED_NSID and len(message.body) >= _NAMESPACE.size:
        number = _number(attributes(message.body, _NAMESPACE.size), _NSID_NUMBER)
        if number is not None:
            changes.ended.add((nsid, number))
