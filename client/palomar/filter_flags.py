"""The table of filters: each flag and keyword, and the field of flow.FlowFilter that it fills.

`FILTER_KEYS` maps flag names to what they mean. The command line makes its options from it, the
library its keywords (the same names with `_` for `-`), and `filter_builder` the messages. To add a
filter, add a row to `_ROWS`, its keyword to `FilterKeywords` and, where flags exclude each other, a
group to `_EXCLUSIVE`. Free of protobuf, like `filter_values`.
"""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from palomar import filter_values as values
from palomar import hubble_values as hubble
from palomar.event_types import event_type_filter
from palomar.filter_keywords import FilterKeywords

__all__ = ["EXCLUSIVE_FLAGS", "FILTER_KEYS", "HUBBLE_EXCLUSIVE_FLAGS", "FilterKey",
           "FilterKeywords", "Side"]  # fmt: skip

Parse = Callable[[str], object]


class Side(Enum):
    """Which end of a flow a filter looks at."""

    NONE = ""
    """Neither: it is about the flow as a whole."""
    SOURCE = "source"
    DESTINATION = "destination"
    EITHER = "either"
    """One filter for the source and one for the destination, of which one must match."""


class FilterKey(NamedTuple):
    """One filter flag.

    Attributes:
        name: The flag without its dashes.
        field: Field of flow.FlowFilter; on a sided filter without `source_` or `destination_`.
        side: Which end it looks at.
        parse: Reads the flag's text; raises InvalidRequest.
        exact: Reads it as the `hubble` command does.
        metavar: What stands for the value in the help; empty for a flag without one.
        help: One line.
        short: One-letter form, if any.
        constant: The value of a flag without one.
        opposite: The flag that says the contrary of one without a value, if any.
    """

    name: str
    field: str
    side: Side
    parse: Parse
    exact: Parse
    metavar: str
    help: str
    short: str = ""
    constant: object = None
    opposite: str = ""

    @property
    def usage(self) -> str:
        """The flag as the `hubble` command names it in errors."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class _Row(NamedTuple):
    name: str
    field: str
    parse: Parse
    metavar: str
    help: str
    exact: Parse = str
    sided: bool = False
    short: str = ""
    constant: object = None
    opposite: str = ""


_ROWS = (
    _Row("pod", "pod", values.pod, "[NS/]NAME", "pods by beginning of name", sided=True),
    _Row("namespace", "namespace", values.namespace, "NS", "pods of a namespace", sided=True,
         short="n"),
    _Row("all-namespaces", "namespace", str, "", "pods of any namespace", sided=True, short="A",
         constant=""),
    _Row("label", "label", values.label, "SELECTOR", "labels, like app=web", sided=True,
         short="l"),
    _Row("service", "service", values.service, "[NS/]NAME", "services by beginning of name",
         sided=True),
    _Row("workload", "workload", values.workload, "[KIND/]NAME", "a workload", hubble.workload,
         sided=True),
    _Row("identity", "identity", values.identity, "NUMBER|NAME", "a security identity",
         hubble.identity, sided=True),
    _Row("cluster", "cluster_name", values.cluster, "NAME", "a cluster", sided=True),
    _Row("fqdn", "fqdn", values.fqdn, "NAME", "a domain name, like *.example.com", sided=True),
    _Row("ip", "ip", values.ip, "IP|CIDR", "an address or prefix", sided=True),
    _Row("port", "port", values.port, "PORT", "a port", sided=True),
    _Row("snat-ip", "source_ip_xlated", values.ip, "IP|CIDR",
         "Source address or prefix after translation."),
    _Row("protocol", "protocol", values.protocol, "NAME", "Protocol: tcp, udp, icmp, dns, ..."),
    _Row("tcp-flags", "tcp_flags", values.tcp_flags, "FLAG,...",
         "TCP flags that are all set, like syn,ack.", hubble.tcp_flags),
    _Row("ipv4", "ip_version", str, "", "Only IPv4.", short="4", constant="IPv4"),
    _Row("ipv6", "ip_version", str, "", "Only IPv6.", short="6", constant="IPv6"),
    _Row("ip-version", "ip_version", values.ip_version, "VERSION", "IP version: v4, v6 or none.",
         hubble.ip_version),
    _Row("verdict", "verdict", values.verdict, "VERDICT",
         "Verdict: forwarded, dropped, redirected, error, audit, traced, translated.",
         hubble.verdict),
    _Row("drop-reason-desc", "drop_reason_desc", values.drop_reason, "REASON",
         "Drop reason, like policy_denied or no_socket.", hubble.drop_reason),
    _Row("type", "event_type", event_type_filter, "TYPE[:SUB]",
         "Event type: drop, trace[:to-stack, ...], policy-verdict, l7, capture, trace-sock.",
         hubble.event_type, short="t"),
    _Row("traffic-direction", "traffic_direction", values.direction, "DIRECTION",
         "Direction: ingress or egress.", hubble.direction),
    _Row("reply", "reply", str, "", "Only replies.", constant=True, opposite="no-reply"),
    _Row("no-reply", "reply", str, "", "Only what is known not to be a reply.", constant=False,
         opposite="reply"),
    _Row("encrypted", "encrypted", str, "", "Only what is encrypted between nodes.",
         constant=True, opposite="unencrypted"),
    _Row("unencrypted", "encrypted", str, "", "Only what is not encrypted between nodes.",
         constant=False, opposite="encrypted"),
    _Row("interface", "interface", values.interface, "NAME", "Network interface.",
         hubble.interface),
    _Row("node-name", "node_name", values.node, "[CLUSTER/]NAME",
         "Node that saw it, like west/worker-*."),
    _Row("node-label", "node_labels", values.label, "SELECTOR", "Labels of the node that saw it."),
    _Row("http-status", "http_status_code", values.http_status, "STATUS",
         "HTTP status of answers: 404, 5xx, 40+."),
    _Row("http-method", "http_method", values.http_method, "METHOD", "HTTP method."),
    _Row("http-path", "http_path", values.http_path, "REGEX", "HTTP path."),
    _Row("http-url", "http_url", values.http_url, "REGEX", "HTTP URL."),
    _Row("http-header", "http_header", values.http_header, "NAME:VALUE", "HTTP header.",
         hubble.http_header),
    _Row("dns-query", "dns_query", values.dns_query, "REGEX", "Name asked for by DNS."),
    _Row("uuid", "uuid", values.uuid, "UUID", "The one flow that has this id."),
    _Row("trace-id", "trace_id", values.trace_id, "ID", "Trace that a request belongs to."),
    _Row("ip-trace-id", "ip_trace_id", values.ip_trace_id, "ID", "Trace id in an IP option.",
         hubble.ip_trace_id),
    _Row("cel-expression", "cel_expression", values.cel, "CEL",
         "Expression over _flow; slower than the other filters."),
)  # fmt: skip

# Flags of one group cannot be combined; the groups and their order, which errors show, are those
# of hubble. `{}` is `from` or `to`. What a flag for either end and its variant for one end mean
# together, nobody could tell.
_EXCLUSIVE = (
    ("{}-fqdn", "{}-ip", "ip", "fqdn", "{}-namespace", "namespace", "{}-all-namespaces",
     "all-namespaces"),
    ("{}-fqdn", "{}-ip", "ip", "fqdn", "{}-pod", "pod"),
    ("{}-pod", "namespace", "all-namespaces"),
    ("{}-service", "namespace", "all-namespaces"),
    ("label", "{}-label"),
    ("service", "{}-service"),
    ("port", "{}-port"),
    ("identity", "{}-identity"),
    ("workload", "{}-workload"),
    ("encrypted", "unencrypted"),
)  # fmt: skip
_EXCLUSIVE_HERE = (("cluster", "{}-cluster"), ("reply", "no-reply"))


def _keys() -> Iterable[FilterKey]:
    for row in _ROWS:
        if not row.sided:
            yield FilterKey(
                row.name, row.field, Side.NONE, row.parse, row.exact, row.metavar, row.help,
                row.short, row.constant, row.opposite,
            )  # fmt: skip
            continue
        for prefix, side, end in (
            ("", Side.EITHER, "Source or destination"),
            ("from-", Side.SOURCE, "Source"),
            ("to-", Side.DESTINATION, "Destination"),
        ):
            yield FilterKey(
                prefix + row.name, row.field, side, row.parse, row.exact, row.metavar,
                f"{end}: {row.help}.", "" if prefix else row.short, row.constant,
            )  # fmt: skip


def _groups(groups: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(name.format(end) for name in group) for group in groups for end in ("from", "to")
    )


FILTER_KEYS = {key.name: key for key in _keys()}
"""Every filter flag by name, in the order of the help."""

OWN_FLAGS = frozenset({"reply", "no-reply", "dns-query"})
"""Filters for which `hubble` has no flag."""

HUBBLE_EXCLUSIVE_FLAGS = _groups(_EXCLUSIVE)
"""Groups of flags of which the `hubble` command takes only one."""

EXCLUSIVE_FLAGS = (*HUBBLE_EXCLUSIVE_FLAGS, *_groups(_EXCLUSIVE_HERE))
"""Groups of flags of which only one may be given."""
