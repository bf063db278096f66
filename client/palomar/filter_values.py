"""Values of filters as users write them; values as a flow.FlowFilter holds them out.

Each function reads one text, forgives case and short forms where only one thing can be meant, and
raises InvalidRequest, with what would be right, where nothing can. Free of protobuf, so that the
command line can show its help without loading it: enumerations come out as the names that the
message constructor takes. Named in the table of `filter_flags`.
"""

import ipaddress

from palomar.errors import InvalidRequest

_PORT_MAX = 65535

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
