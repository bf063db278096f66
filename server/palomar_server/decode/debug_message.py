"""What Cilium's debug messages say: a text for each subtype, made of its three arguments.

Numbers and formats are those of pkg/monitor of Cilium 1.19, to the letter: people search for these
texts. Addresses and ports stand in the arguments as in a packet, read as a number of this machine.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from palomar_proto.monitor.reason_text import reason_text

if TYPE_CHECKING:
    from collections.abc import Callable

_BYTE, _WORD = 0xFF, 0xFFFF
_CONNTRACK_STATES = ("New", "Established", "Reply", "Related")
_DIRECTIONS = ("egress", "ingress")
_TUPLE_FLAGS = ((1, "OUT"), (2, "RELATED"))
_ERRNO_MAX = 132
"""Go has no texts for larger error numbers."""


def debug_message(subtype: int, arg1: int, arg2: int, arg3: int) -> str:
    """Say what a debug message says.

    Args:
        subtype: flow.DebugEventType; others are told as numbers.
        arg1: first argument, unsigned 32 bits.
        arg2: second argument.
        arg3: third argument.
    """
    text = _TEXTS.get(subtype)
    if text is None:
        return f"Unknown message type={subtype} arg1={arg1} arg2={arg2}"
    return text(arg1, arg2, arg3)


def _port(value: int) -> int:
    """A number of two bytes in network order, of which the lower half of `value` is the memory."""
    return (value & _BYTE) << 8 | value >> 8 & _BYTE


def _ipv4(value: int) -> str:
    return ".".join(str(byte) for byte in value.to_bytes(4, "little"))


def _ipv6_end(value: int) -> str:
    """The last two groups of an IPv6 address."""
    number = int.from_bytes(value.to_bytes(4, "little"), "big")
    return f"{number >> 16:x}:{number & _WORD:x}"


def _tuple(arg1: int, arg2: int) -> str:
    flags = ", ".join(name for bit, name in _TUPLE_FLAGS if arg2 & bit)
    return f"sport={arg1 >> 16} dport={arg1 & _WORD} nexthdr={arg2 >> 8} flags={flags}"


def _ends4(arg1: int, arg2: int, arg3: int) -> str:
    return f"src={_ipv4(arg1)}:{arg3 & _WORD} dst={_ipv4(arg2)}:{arg3 >> 16}"


def _ends6(arg1: int, arg2: int, arg3: int) -> str:
    source, destination = _ipv6_end(arg1), _ipv6_end(arg2)
    return f"src=[::{source}]:{arg3 & _WORD} dst=[::{destination}]:{arg3 >> 16}"


def _lookup_rest(arg1: int, arg2: int, arg3: int) -> str:
    return f"Conntrack lookup 2/2: nexthdr={arg1 >> 8} flags={arg1 & _BYTE} dir={arg2} scope={arg3}"


def _create(arg1: int, arg2: int) -> str:
    ports = f"proxy-port={arg1 >> 16} revnat={_port(arg1)}"
    return f"Conntrack create: {ports} src-identity={arg2}"


def _proxy(arg1: int, arg2: int, arg3: int) -> str:
    ports = f"sport={_port(arg1 >> 16)} dport={_port(arg1)}"
    return f"{ports} saddr={_ipv4(arg2)} nexthdr={arg3}"


def _state(value: int) -> str:
    if value < len(_CONNTRACK_STATES):
        return _CONNTRACK_STATES[value]
    return reason_text(value & _BYTE)


def _direction(value: int) -> str:
    return _DIRECTIONS[value] if value < len(_DIRECTIONS) else ""


_ERROR_TEXTS = {0: "Success", errno.ESTALE: "stale NFS file handle"}
"""Where Go's texts are others than the C library's."""


def _error(number: int) -> str:
    """The text of an error number as Go has it: the C library's, beginning in lower case."""
    if number in _ERROR_TEXTS:
        return _ERROR_TEXTS[number]
    text = os.strerror(number) if number <= _ERRNO_MAX else ""
    if not text or text.startswith("Unknown error"):
        return f"errno {number}"
    # Abbreviations stay as they are.
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _backend_slot(arg1: int, arg2: int, _: int) -> str:
    return f"Service backend slot lookup: slot={arg1}, dport={_port(arg2)}"


def _backend_slot_failed(arg1: int, arg2: int, _: int) -> str:
    return f"Service backend slot lookup failed: slot={arg1}, dport={_port(arg2)}"


def _backend_failed(arg1: int, _: int, __: int) -> str:
    return f"Backend service lookup failed: backend_id={arg1}"


def _reverse_nat(arg1: int, _: int, __: int) -> str:
    return f"Reverse NAT lookup, index={_port(arg1)}"


_TEXTS: dict[int, Callable[[int, int, int], str]] = {
    1: lambda a, b, _: f"No message, arg1={a} ({a:#x}) arg2={b} ({b:#x})",
    2: lambda a, b, _: f"Attempting local delivery for container id {a} from seclabel {b}",
    3: lambda a, b, _: f"Encapsulating to node {a} ({a:#x}) from seclabel {b}",
    # Hubble does not look the name of the interface up.
    4: lambda _, b, __: f"Local container found ifindex  seclabel {_port(b)}",
    5: lambda a, b, _: f"Policy evaluation would deny packet from {a} to {b}",
    6: lambda a, b, _: f"CT lookup: {_tuple(a, b)}",
    7: lambda a, b, _: f"CT reverse lookup: {_tuple(a, b)}",
    8: lambda a, b, _: f"CT entry found lifetime={a}, revnat={_port(b)}",
    9: lambda a, b, c: f"CT created 1/2: {_tuple(a, b)} revnat={_port(c)}",
    10: lambda a, b, _: f"CT created 2/2: {_ipv4(a)} revnat={_port(b)}",
    11: lambda a, _, __: f"Handling ICMPv6 type={a}",
    12: lambda a, _, __: f"ICMPv6 echo request for router offset={a}",
    13: lambda a, b, _: f"ICMPv6 neighbour soliciation for address {a:x}:{b:x}",
    14: lambda _, __, ___: "Sending ICMPv6 time exceeded",
    15: lambda a, b, _: f"CT verdict: {_state(a)}, revnat={_port(b)}",
    16: lambda a, b, _: f"Tunnel decap: id={a} flowlabel={b:x}",
    17: lambda a, b, _: f"Mapping port from={a} to={b}",
    18: lambda a, b, _: f"BPF function {a} returned error {b}",
    19: lambda a, _, __: f"Going to host, policy-skip={a}",
    20: lambda a, _, __: f"Going to the stack, policy-skip={a}",
    21: lambda a, b, _: f"Packet hash={a} ({a:#x}), selected_service={b}",
    22: lambda a, b, _: f"Frontend service lookup, addr.p4={a:x} key.dport={_port(b)}",
    23: lambda a, b, _: f"Frontend service lookup failed, addr.p2={a:x} addr.p3={b:x}",
    24: _backend_slot,
    25: lambda a, b, _: f"Service backend slot lookup result: target.p4={a:x} port={_port(b)}",
    26: _backend_slot_failed,
    27: _backend_failed,
    28: _reverse_nat,
    29: lambda a, b, _: f"Performing reverse NAT, address.p4={a:x} port={_port(b)}",
    30: lambda a, b, _: f"Frontend service lookup, addr={_ipv4(a)} key.dport={_port(b)}",
    31: lambda _, __, ___: "Frontend service lookup failed",
    32: _backend_slot,
    33: lambda a, b, _: f"Service backend slot lookup result: target={_ipv4(a)} port={_port(b)}",
    34: _backend_slot_failed,
    35: _backend_failed,
    36: _reverse_nat,
    37: lambda a, b, _: f"Performing reverse NAT, address={_ipv4(a)} port={_port(b)}",
    38: lambda a, b, _: f"Loopback SNAT from={_ipv4(a)} to={_ipv4(b)}",
    39: lambda a, b, _: f"Loopback reverse SNAT from={_ipv4(a)} to={_ipv4(b)}",
    40: lambda a, _, __: f"CT lookup address: {_ipv4(a)}",
    41: lambda a, b, _: f"RR backend slot selection hash={a} ({a:#x}), selected_service={b}",
    42: lambda a, b, c: f"Reverse proxy lookup {_proxy(a, b, c)}",
    43: lambda a, b, _: f"Reverse proxy entry found, orig-daddr={_ipv4(a)} orig-dport={b}",
    44: lambda a, b, c: f"Reverse proxy updated {_proxy(a, b, c)}",
    45: lambda a, b, _: f"Resolved L4 policy to: {_port(a)} / {_direction(b)}",
    46: lambda a, _, __: f"Destination is inside cluster prefix, source identity: {a}",
    47: lambda a, b, _: f"Attempting encapsulation, lookup key: {_ipv4(a)}, identity: {b}",
    48: lambda a, b, c: f"Conntrack lookup 1/2: {_ends4(a, b, c)}",
    49: _lookup_rest,
    50: lambda a, b, c: f"{_create(a, b)} lb={_ipv4(c)}",
    51: lambda a, b, c: f"Conntrack lookup 1/2: {_ends6(a, b, c)}",
    52: _lookup_rest,
    53: lambda a, b, _: _create(a, b),
    54: lambda a, _, __: f"Skipping proxy, tc_index is set={a:x}",
    55: lambda a, b, c: (
        f"Matched L4 policy; creating conntrack src={a} dst={b} "
        f"dport={_port(c >> 16)} proto={c & _BYTE}"
    ),
    56: lambda a, _, __: f"Failed to map addr={_ipv4(a)} to identity",
    57: lambda a, _, __: f"Failed to map addr.p4=[::{_ipv6_end(a)}] to identity",
    58: lambda a, b, _: f"Successfully mapped addr={_ipv4(a)} to identity={b}",
    59: lambda a, b, _: f"Successfully mapped addr.p4=[::{_ipv6_end(a)}] to identity={b}",
    60: lambda a, b, _: f"Stale CT entry found stale_ct.rev_nat_id={b}, svc.rev_nat_id={a}",
    61: lambda a, _, __: f"Inheriting identity={a} from stack",
    62: lambda a, b, c: f"Socket lookup: {_ends4(a, b, c)}",
    63: lambda a, b, c: f"Socket lookup: {_ends6(a, b, c)}",
    64: lambda a, _, __: f"Socket assign: {_error(a)}",
    65: lambda a, b, c: f"L7 LB from {_ipv4(a)} to {_ipv4(b)}: proxy port {c}",
}
