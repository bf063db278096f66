"""Values of filters exactly as the `hubble` command reads them.

Most texts go to the server as they are, which judges them; these functions are those that the
command has a reading of its own for. Unlike `filter_values`, none forgives anything. Each takes
one text, gives the value that a flow.FlowFilter holds, and raises InvalidRequest where hubble 1.19
refuses. Named in the table of `filter_flags`.
"""

from palomar.errors import InvalidRequest
from palomar.event_types import AGENT_EVENTS, EVENT_TYPES, OBSERVATION_POINTS
from palomar.go_syntax import parse_uint, quote
from palomar.reserved_identities import RESERVED_IDENTITIES

TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS")
"""Names of the flags in a TCP header, as flow.TCPFlags has them."""

_VERDICTS = frozenset(
    {"VERDICT_UNKNOWN", "FORWARDED", "DROPPED", "ERROR", "AUDIT", "REDIRECTED", "TRACED",
     "TRANSLATED"}
)  # fmt: skip

_IP_VERSIONS = {
    "4": "IPv4", "v4": "IPv4", "ipv4": "IPv4", "ip4": "IPv4",
    "6": "IPv6", "v6": "IPv6", "ipv6": "IPv6", "ip6": "IPv6",
}  # fmt: skip

_SUBTYPES = {"trace": OBSERVATION_POINTS, "agent": AGENT_EVENTS}
_INT32_MAX = 2**31 - 1


def verdict(text: str) -> str:
    """Read the exact name of a verdict."""
    if text not in _VERDICTS:
        raise InvalidRequest(f"invalid --verdict value: {text}")
    return text


def drop_reason(text: str) -> str:
    """Read the exact name of a drop reason."""
    from palomar_proto.flow.flow_pb2 import DropReason  # noqa: PLC0415 - loads protobuf

    if not text:
        raise InvalidRequest("empty --drop-reason-desc value")
    if text not in DropReason.keys():  # noqa: SIM118 - an enumeration of protobuf, no dict
        raise InvalidRequest(f"invalid --drop-reason-desc value: {text}")
    return text


def direction(text: str) -> str:
    """Read a direction of traffic, in any case."""
    name = text.lower()
    if name not in {"ingress", "egress"}:
        raise InvalidRequest(f"traffic direction {quote(text)} is neither ingress nor egress")
    return name.upper()


def ip_version(text: str) -> str:
    """Read a version of IP; whatever is none means flows without IP."""
    return _IP_VERSIONS.get(text.lower(), "IP_NOT_USED")


def tcp_flags(text: str) -> dict[str, bool]:
    """Read names of TCP flags between commas, in any case."""
    names = text.split(",")
    for name in names:
        if name.upper() not in TCP_FLAGS:
            raise InvalidRequest(f"unknown tcp flag: {name}")
    return {name.upper(): True for name in names}


def http_header(text: str) -> dict[str, str]:
    """Read `name:value`, blanks and all."""
    name, colon, value = text.partition(":")
    if not colon:
        raise InvalidRequest(f"HTTP header {quote(text)} has no colon; write NAME:VALUE")
    return {"key": name, "value": value}


def ip_trace_id(text: str) -> int:
    """Read a number above 0."""
    if text == "0":
        raise InvalidRequest("IP trace id 0 marks no packet; ids begin at 1")
    try:
        return parse_uint(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"IP trace id {quote(text)} is no number: {error}") from error


def identity(text: str) -> int:
    """Read a security identity: a reserved name or a number."""
    number = RESERVED_IDENTITIES.get(text)
    if number is not None:
        return number
    try:
        return parse_uint(text, bits=32, prefixes=True)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"security identity {quote(text)} is neither a number nor one of "
            f"{', '.join(RESERVED_IDENTITIES)}"
        ) from error


def workload(text: str) -> dict[str, str]:
    """Read `name` or `Kind/name`, of which one may be empty."""
    kind, slash, name = text.partition("/")
    return {"kind": kind, "name": name} if slash else {"name": text}


def interface(text: str) -> dict[str, str]:
    """Read the name of an interface; empty means any."""
    return {"name": text}


def event_type(text: str) -> dict[str, int | bool]:
    """Read `TYPE[:SUBTYPE]`; a subtype has a name only where the type is given by name."""
    type_name, colon, subtype_name = text.partition(":")
    number = EVENT_TYPES.get(type_name)
    if number is None:
        number = _number(type_name, "event type")
    if not colon:
        return {"type": number}
    names = _SUBTYPES.get(type_name, ())
    subtype = (
        names.index(subtype_name)
        if subtype_name in names
        else _number(subtype_name, "event subtype")
    )
    return {"type": number, "match_sub_type": True, "sub_type": subtype}


def _number(text: str, what: str) -> int:
    try:
        number = parse_uint(text, bits=32)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"{what} {quote(text)} is neither a known name nor a number: {error}"
        ) from error
    return number if number <= _INT32_MAX else number - 2**32  # the field has a sign
