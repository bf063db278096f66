"""The keywords that say which flows to select, for those who check types.

They are the flags of the table in `filter_flags` with `_` for `-`; a test holds the two together.
"""

from collections.abc import Iterable
from typing import TypedDict

Text = str | Iterable[str]
Number = int | str | Iterable[int | str]


class ExclusionKeywords(TypedDict, total=False):
    """Keywords that leave out what the keyword without `not_` would select.

    Each leaves out by itself: `not_port=443, not_pod="web"` is neither port 443 nor pod web.
    """

    not_pod: Text
    not_from_pod: Text
    not_to_pod: Text
    not_namespace: Text
    not_from_namespace: Text
    not_to_namespace: Text
    not_all_namespaces: bool
    not_from_all_namespaces: bool
    not_to_all_namespaces: bool
    not_label: Text
    not_from_label: Text
    not_to_label: Text
    not_service: Text
    not_from_service: Text
    not_to_service: Text
    not_workload: Text
    not_from_workload: Text
    not_to_workload: Text
    not_identity: Number
    not_from_identity: Number
    not_to_identity: Number
    not_cluster: Text
    not_from_cluster: Text
    not_to_cluster: Text
    not_fqdn: Text
    not_from_fqdn: Text
    not_to_fqdn: Text
    not_ip: Text
    not_from_ip: Text
    not_to_ip: Text
    not_port: Number
    not_from_port: Number
    not_to_port: Number
    not_snat_ip: Text
    not_protocol: Text
    not_tcp_flags: Text
    not_ipv4: bool
    not_ipv6: bool
    not_ip_version: Number
    not_verdict: Text
    not_drop_reason_desc: Text
    not_type: Text
    not_traffic_direction: Text
    not_reply: bool
    not_encrypted: bool
    not_interface: Number
    not_node_name: Text
    not_node_label: Text
    not_http_status: Number
    not_http_method: Text
    not_http_path: Text
    not_http_url: Text
    not_http_header: Text
    not_dns_query: Text
    not_uuid: Text
    not_trace_id: Text
    not_ip_trace_id: Number
    not_cel_expression: Text


class FilterKeywords(ExclusionKeywords, total=False):
    """Keywords of `Filter`, `Client.observe` and `AsyncClient.observe`.

    Several values of one keyword are alternatives; several keywords must all match. A keyword
    without `from_` or `to_` matches on either end. With `not_` before it, a keyword leaves out
    what it would otherwise select.
    """

    pod: Text
    """`NAME` for pods of any namespace whose name begins so, `NS/NAME` for those of one
    namespace, `NS/` for all pods of it."""
    from_pod: Text
    to_pod: Text
    namespace: Text
    """Alone, all pods of the namespace; otherwise where `pod` or `service` without one is looked
    for."""
    from_namespace: Text
    to_namespace: Text
    all_namespaces: bool
    """All that has a pod at that end, whatever its namespace; with `pod`, the default."""
    from_all_namespaces: bool
    to_all_namespaces: bool
    label: Text
    """A Kubernetes selector: `app=web`, `app in (web, cart)`, `!canary`, `reserved:world`."""
    from_label: Text
    to_label: Text
    service: Text
    """Like `pod`, of services."""
    from_service: Text
    to_service: Text
    workload: Text
    """`NAME`, `Kind/NAME` or `Kind/`."""
    from_workload: Text
    to_workload: Text
    identity: Number
    """A security identity: a number or a reserved name such as `world`."""
    from_identity: Number
    to_identity: Number
    cluster: Text
    """The exact name of a cluster."""
    from_cluster: Text
    to_cluster: Text
    fqdn: Text
    """A domain name that the address stands for; `*` for any part of it."""
    from_fqdn: Text
    to_fqdn: Text
    ip: Text
    """An address or a CIDR prefix."""
    from_ip: Text
    to_ip: Text
    port: Number
    """A TCP, UDP or SCTP port."""
    from_port: Number
    to_port: Number
    snat_ip: Text
    """The source address, or its prefix, after translation."""
    protocol: Text
    """Of layer 4 or 7: `tcp`, `udp`, `icmp`, `dns`, …"""
    tcp_flags: Text
    """Flags that are all set: `syn`, `syn,ack`."""
    ipv4: bool
    """Only IPv4; False is as if absent."""
    ipv6: bool
    """Only IPv6; False is as if absent."""
    ip_version: Number
    """`v4`, `v6`, or `none` for what is not IP."""
    verdict: Text
    """`forwarded`, `dropped`, …; any case, short forms such as `drop` as well."""
    drop_reason_desc: Text
    """`policy_denied`, …; any case."""
    type: Text
    """`drop`, `trace`, `trace:to-stack`, `l7`, … or numbers."""
    traffic_direction: Text
    """`ingress` or `egress`, as the endpoint where the packet was seen has it."""
    reply: bool
    """Whether the packet goes against the direction its connection was opened in."""
    encrypted: bool
    """Whether it is encrypted between nodes."""
    interface: Number
    """Name or index of the network interface where it was seen."""
    node_name: Text
    """Node that saw it: `NAME` in any cluster, `CLUSTER/NAME`, `CLUSTER/`; `*` for any part."""
    node_label: Text
    """A selector over the labels of the node that saw it."""
    http_status: Number
    """Of answers: `404`, `5xx`, `40+`."""
    http_method: Text
    """Any case."""
    http_path: Text
    """A regular expression (RE2) found anywhere in the path."""
    http_url: Text
    """A regular expression (RE2) found anywhere in the URL."""
    http_header: Text
    """`NAME:VALUE`."""
    dns_query: Text
    """A regular expression (RE2) found anywhere in the name asked for."""
    uuid: Text
    """The id of one flow."""
    trace_id: Text
    """The trace that a request belongs to."""
    ip_trace_id: Number
    """The id that an IP option carries."""
    cel_expression: Text
    """An expression over `_flow`; slower than the other filters."""
