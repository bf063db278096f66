"""Policy correlation: which network policies were behind a verdict.

As in Hubble: verdicts that let a packet through, and those by a rule that denies; a packet that no
rule allowed was denied by none. Audited verdicts decide nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_server.policies import PolicyKey

if TYPE_CHECKING:
    from palomar_server.policies import Policies, PolicyEntry

_ALLOWED = (flow_pb2.FORWARDED, flow_pb2.REDIRECTED)
_LABEL_PREFIX = "k8s:io.cilium.k8s.policy."


def set_policies(flow: flow_pb2.Flow, protocol: int, policies: Policies) -> None:
    """Set the fields that name policies.

    Args:
        flow: a policy verdict; all its other fields are set.
        protocol: the IANA number of its transport protocol.
        policies: of the local endpoints.
    """
    allowed = flow.verdict in _ALLOWED
    denied = flow.verdict == flow_pb2.DROPPED and flow.drop_reason_desc == flow_pb2.POLICY_DENY
    port = _port(flow.l4)
    if not (allowed or denied) or not port:
        return
    egress = flow.traffic_direction == flow_pb2.EGRESS
    local, remote = (flow.source, flow.destination) if egress else (flow.destination, flow.source)
    key = PolicyKey(egress, remote.identity, protocol, port)
    entry = policies.entry(local.ID, key, flow.policy_match_type)
    if entry is None:
        return
    if egress:
        by = flow.egress_allowed_by if allowed else flow.egress_denied_by
    else:
        by = flow.ingress_allowed_by if allowed else flow.ingress_denied_by
    by.extend(_messages(entry))
    flow.policy_log.extend(entry.log)


def _port(l4: flow_pb2.Layer4) -> int:
    """What policies have in the place of the port; 0 for none, which no policy is looked up for."""
    match l4.WhichOneof("protocol"):
        case "TCP":
            return l4.TCP.destination_port
        case "UDP":
            return l4.UDP.destination_port
        case "SCTP":
            return l4.SCTP.destination_port
        case "ICMPv4":
            return l4.ICMPv4.type
        case "ICMPv6":
            return l4.ICMPv6.type
        case _:
            return 0


@lru_cache(maxsize=4_096)
def _messages(entry: PolicyEntry) -> tuple[flow_pb2.Policy, ...]:
    return tuple(
        flow_pb2.Policy(
            name=named.get("name", ""),
            namespace=named.get("namespace", ""),
            kind=named.get("derived-from", ""),
            labels=rule,
            revision=entry.revision,
        )
        for rule in entry.rules
        for named in (_by_label(rule),)
    )


def _by_label(rule: tuple[str, ...]) -> dict[str, str]:
    """What a rule's labels say of the policy object it comes from."""
    return dict(
        label.removeprefix(_LABEL_PREFIX).split("=", 1)
        for label in rule
        if label.startswith(_LABEL_PREFIX) and "=" in label
    )
