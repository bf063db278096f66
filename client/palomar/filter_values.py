"""Values of filters as users write them; values as a flow.FlowFilter holds them out.

Each function reads one text, forgives case and short forms where only one thing can be meant, and
raises InvalidRequest, with what would be right, where nothing can. Free of protobuf, so that the
command line can show its help without loading it: enumerations come out as the names that the
message constructor takes. Named in the table of `filter_flags`.
"""

import ipaddress
import re

from palomar.errors import InvalidRequest
from palomar.hubble_values import TCP_FLAGS
from palomar.reserved_identities import RESERVED_IDENTITIES

_PORT_MAX = 65535
_INT32_MAX = 2**31 - 1
_UINT32_MAX = 2**32 - 1
_UINT64_MAX = 2**64 - 1
_KERNEL_REASON_BASE = 1000

_IP_VERSIONS = {
    "none": "IP_NOT_USED", "no": "IP_NOT_USED",
    "4": "IPv4", "v4": "IPv4", "ipv4": "IPv4", "ip4": "IPv4",
    "6": "IPv6", "v6": "IPv6", "ipv6": "IPv6", "ip6": "IPv6",
}  # fmt: skip

_STATUS = re.compile(r"[1-5]\d\d|[1-5]\d?\+", re.ASCII)
_STATUS_CLASS = re.compile(r"([1-5]\d?)[xX*]{1,2}", re.ASCII)
_FQDN = re.compile(r"[-.*_0-9a-z]+", re.ASCII)
_SEPARATORS = re.compile(r"[,+\s]+")

_VERDICTS = {
    "unknown": "VERDICT_UNKNOWN",
    "verdict_unknown": "VERDICT_UNKNOWN",
    "forward": "FORWARDED",
    "forwarded": "FORWARDED",
    "drop": "DROPPED",
    "dropped": "DROPPED",
    "error": "ERROR",
    "audit": "AUDIT",
    "audited": "AUDIT",
    "redirect": "REDIRECTED",
    "redirected": "REDIRECTED",
    "trace": "TRACED",
    "traced": "TRACED",
    "translate": "TRANSLATED",
    "translated": "TRANSLATED",
}

_DIRECTIONS = {"ingress": "INGRESS", "in": "INGRESS", "egress": "EGRESS", "out": "EGRESS"}

_PROTOCOLS = (
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmpv4",
    "icmpv6",
    "vrrp",
    "igmp",
    "dns",
    "http",
    "kafka",
)


def pod(text: str) -> str:
    """Check `[namespace/]name-prefix`; which namespace a bare name means is decided later."""
    if not text or text.count("/") > 1:
        raise InvalidRequest(
            f"pod {text!r} is not [NAMESPACE/]NAME; NAME may be the beginning of a name, "
            "'shop/' is the whole namespace shop"
        )
    return text


def namespace(text: str) -> str:
    """Check the exact name of a namespace."""
    if not text or "/" in text:
        raise InvalidRequest(f"namespace {text!r} is not a name; write it like kube-system")
    return text


def service(text: str) -> str:
    """Check `[namespace/]name-prefix` of a service."""
    if not text or text.count("/") > 1:
        raise InvalidRequest(
            f"service {text!r} is not [NAMESPACE/]NAME; NAME may be the beginning of a name"
        )
    return text


def workload(text: str) -> dict[str, str]:
    """Read `name`, `Kind/name` or `Kind/`."""
    kind, slash, name = text.partition("/")
    if "/" in name or not kind + name:
        raise InvalidRequest(
            f"workload {text!r} is not [KIND/]NAME; write it like web, Deployment/web or DaemonSet/"
        )
    return {"kind": kind, "name": name} if slash else {"name": text}


def identity(text: str) -> int:
    """Read a security identity: a number, or a reserved name in any case."""
    name = text.strip().lower().removeprefix("reserved:").replace("_", "-")
    if name in RESERVED_IDENTITIES:
        return RESERVED_IDENTITIES[name]
    number = _number(name, _UINT32_MAX)
    if number is None:
        raise InvalidRequest(
            f"identity {text!r} is neither a number up to {_UINT32_MAX} nor one of "
            f"{', '.join(RESERVED_IDENTITIES)}"
        )
    return number


def label(text: str) -> str:
    """Check that there is a label selector; the server reads it."""
    return _given(text, "label", "app=web, k8s:app in (web, cart) or !canary")


def cluster(text: str) -> str:
    """Check the exact name of a cluster."""
    return _given(text, "cluster", "the name of a cluster")


def node(text: str) -> str:
    """Check `[cluster/]pattern` of a node's name."""
    if not text or text.count("/") > 1:
        raise InvalidRequest(
            f"node {text!r} is not [CLUSTER/]NAME; write it like node-1, west/worker-* or west/"
        )
    return text


def fqdn(text: str) -> str:
    """Read the pattern of a domain name; `*` stands for any part of it."""
    name = text.strip().lower().removesuffix(".")
    if not _FQDN.fullmatch(name):
        raise InvalidRequest(
            f"fqdn {text!r} is no domain name; write it like api.example.com or *.example.com"
        )
    return name


def tcp_flags(text: str) -> dict[str, bool]:
    """Read names of TCP flags that must all be set; between commas, `+` or blanks."""
    names = [name.upper() for name in _SEPARATORS.split(text.strip())]
    for name in names:
        if name not in TCP_FLAGS:
            raise InvalidRequest(
                f"TCP flags {text!r} have an unknown one; there are {', '.join(TCP_FLAGS).lower()}"
            )
    return dict.fromkeys(names, True)


def ip_version(text: str) -> str:
    """Read a version of IP; `none` is for flows without it."""
    name = _IP_VERSIONS.get(text.lower())
    if name is None:
        raise InvalidRequest(f"IP version {text!r} is unknown; it is v4, v6 or none")
    return name


def drop_reason(text: str) -> int:
    """Read a drop reason: its name in any case, with blanks or dashes, or its number.

    Reasons of the Linux kernel have names too; their numbers are 1000 and that of the kernel.
    """
    from palomar_proto.flow.flow_pb2 import DropReason  # noqa: PLC0415 - loads protobuf
    from palomar_proto.palomar.v1.drop_reason_pb2 import KernelDropReason  # noqa: PLC0415 - likewise

    numbers: dict[str, int] = {
        **{name: _KERNEL_REASON_BASE + value for name, value in KernelDropReason.items()},
        **dict(DropReason.items()),
    }
    name = re.sub(r"[\s-]+", "_", text.strip()).upper()
    number = numbers.get(name, _number(name, _INT32_MAX))
    if number is None or (number < _KERNEL_REASON_BASE and number not in DropReason.values()):
        from difflib import get_close_matches  # noqa: PLC0415 - only for an error

        near = get_close_matches(name, numbers) or ["POLICY_DENIED"]
        raise InvalidRequest(
            f"drop reason {text!r} is unknown; names are like {', '.join(near).lower()}"
        )
    return number


def http_status(text: str) -> str:
    """Read a status code, or the beginning of one: `404`, `5+`, also `5xx`."""
    spread = _STATUS_CLASS.fullmatch(text)
    if spread and len(text) == len("5xx"):
        return f"{spread[1]}+"
    if not _STATUS.fullmatch(text):
        raise InvalidRequest(f"HTTP status {text!r} is none; write it like 404, 5xx, 5+ or 40+")
    return text


def http_method(text: str) -> str:
    """Check that there is a method; servers compare it in any case."""
    return _given(text, "HTTP method", "get or POST")


def http_path(text: str) -> str:
    """Check that there is a pattern (RE2); the server reads it."""
    return _given(text, "HTTP path", "a regular expression, like ^/items/[0-9]+")


def http_url(text: str) -> str:
    """Check that there is a pattern (RE2); the server reads it."""
    return _given(text, "HTTP URL", "a regular expression, like ^http://shop/")


def dns_query(text: str) -> str:
    """Check that there is a pattern (RE2); the server reads it."""
    return _given(text, "DNS query", "a regular expression, like example[.]com")


def http_header(text: str) -> dict[str, str]:
    """Read `name: value`; blanks around both do not count."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise InvalidRequest(f"HTTP header {text!r} is not NAME:VALUE; write it like Host:shop")
    return {"key": name.strip(), "value": value.strip()}


def trace_id(text: str) -> str:
    """Check that there is a trace id, as it stands in the headers of requests."""
    return _given(text, "trace id", "the 32 hexadecimal digits of a W3C trace")


def ip_trace_id(text: str) -> int:
    """Read the number that an IP option carries; there is no 0."""
    number = _number(text, _UINT64_MAX)
    if not number:
        raise InvalidRequest(f"IP trace id {text!r} is not a number from 1 to {_UINT64_MAX}")
    return number


def uuid(text: str) -> str:
    """Check that there is an id of a flow."""
    return _given(text, "uuid", "the uuid of a flow in -o json")


def interface(text: str) -> dict[str, str | int]:
    """Read the name or the index of an interface."""
    index = _number(text, _UINT32_MAX)
    if index:
        return {"index": index}
    return {"name": _given(text, "interface", "eth0, or the index of one")}


def cel(text: str) -> str:
    """Check that there is an expression; the server reads it."""
    return _given(text, "CEL expression", "_flow.verdict == Verdict.DROPPED")


def ip(text: str) -> str:
    """Read an address or CIDR prefix; comes out in the canonical form that flows have."""
    try:
        if "/" in text:
            return str(ipaddress.ip_network(text, strict=False))
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidRequest(
            f"ip {text!r} is neither an address nor a prefix; write it like 10.0.0.7, "
            "10.0.0.0/24 or fd00::/8"
        ) from error
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        # Servers compare text, and theirs has the last four bytes in decimal.
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)


def port(text: str) -> str:
    """Check a port number."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_PORT_MAX)) + 1):
        raise InvalidRequest(f"port {text!r} is not a number; it is 0 to {_PORT_MAX}")
    if int(text) > _PORT_MAX:
        raise InvalidRequest(f"port {text} is too large; it is 0 to {_PORT_MAX}")
    return str(int(text))


def protocol(text: str) -> str:
    """Check a protocol's name, of layer 4 or 7, in any case."""
    if text.lower() not in _PROTOCOLS:
        raise InvalidRequest(f"protocol {text!r} is unknown; it is one of {', '.join(_PROTOCOLS)}")
    return text


def verdict(text: str) -> str:
    """Read a verdict: its name or its short form, in any case."""
    name = _VERDICTS.get(text.lower())
    if name is None:
        raise InvalidRequest(
            f"verdict {text!r} is unknown; it is one of forwarded, dropped, error, audit, "
            "redirected, traced, translated"
        )
    return name


def direction(text: str) -> str:
    """Read a direction of traffic as its endpoint sees it."""
    name = _DIRECTIONS.get(text.lower())
    if name is None:
        raise InvalidRequest(f"traffic direction {text!r} is unknown; it is ingress or egress")
    return name


def _given(text: str, what: str, example: str) -> str:
    """Refuse nothing at all, which servers refuse or take as everything."""
    if not text.strip():
        raise InvalidRequest(f"{what} {text!r} is empty; write {example}")
    return text


def _number(text: str, largest: int) -> int | None:
    """Read decimal digits; `None` where there is something else, or more than `largest`."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest))):
        return None
    number = int(text)
    return number if number <= largest else None
