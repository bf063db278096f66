"""When policy was the cause: which policies decided, or that none allowed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.explain.wording import (
    destination_name,
    direction_name,
    packet_name,
    port_text,
    source_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_proto.flow.flow_pb2 import Flow

_FIELDS = (
    ("egress_denied_by", flow_pb2.EGRESS, True),
    ("ingress_denied_by", flow_pb2.INGRESS, True),
    ("egress_allowed_by", flow_pb2.EGRESS, False),
    ("ingress_allowed_by", flow_pb2.INGRESS, False),
)
_BY_POLICY = (flow_pb2.POLICY_DENIED, flow_pb2.POLICY_DENY)


@dataclass(slots=True)
class PolicyFinding:
    """What policy had to do with it."""

    cause: explanation_pb2.DropCause.ValueType
    headline: str
    policies: list[explanation_pb2.DecidingPolicy] = field(default_factory=list)
    unnamed: bool = False
    """Whether a rule decided, but nothing says which."""


def deciding_policies(flows: Sequence[Flow]) -> list[explanation_pb2.DecidingPolicy]:
    """The policies that flows name, each once."""
    found: dict[bytes, explanation_pb2.DecidingPolicy] = {}
    for flow in flows:
        for name, direction, denied in _FIELDS:
            for policy in getattr(flow, name):
                one = explanation_pb2.DecidingPolicy(
                    policy=policy, direction=direction, denied=denied
                )
                found[one.SerializeToString(deterministic=True)] = one
    return list(found.values())


def find_policy(events: Sequence[Flow]) -> PolicyFinding | None:
    """Tell what policy decided about a packet.

    Cilium has one reason for "no rule allows it" and another one for "a rule denies it"; a denial
    that names its policies is by a rule whatever the reason says.

    Args:
        events: the dropped packet's events: its drop and the policy verdict, either may be missing.

    Returns:
        None where it was not policy.
    """
    denied = [flow for flow in events if flow.drop_reason_desc in _BY_POLICY]
    if not denied:
        return None
    policies = deciding_policies(events)
    # The verdict's direction is that of the policy; a drop's is that of the packet.
    flow = max(denied, key=lambda one: one.policy_match_type != 0 or one.event_type.type)
    direction = flow.traffic_direction
    packet = f"{packet_name(flow)} from {source_name(flow)} to {destination_name(flow)}"
    packet += port_text(flow)
    by_rule = any(one.drop_reason_desc == flow_pb2.POLICY_DENY for one in denied)
    deniers = [one.policy for one in policies if one.denied]
    if by_rule or deniers:
        names = ", ".join(_name(policy) for policy in deniers)
        return PolicyFinding(
            explanation_pb2.DROP_CAUSE_POLICY_DENY,
            f"{packet} was denied by {names or 'a rule of a policy'} "
            f"({direction_name(direction)}).",
            policies,
            unnamed=not deniers,
        )
    selected = source_name(flow) if direction == flow_pb2.EGRESS else destination_name(flow)
    if direction == flow_pb2.TRAFFIC_DIRECTION_UNKNOWN:
        selected = "one of its ends"
    return PolicyFinding(
        explanation_pb2.DROP_CAUSE_DEFAULT_DENY,
        f"Default deny ({direction_name(direction)}): some policy selects {selected}, so only what "
        f"a rule allows may pass, and no rule allows this. {packet} was dropped.",
        policies,
    )


def _name(policy: flow_pb2.Policy) -> str:
    kind = policy.kind or "policy"
    return f"{kind} {'/'.join(filter(None, (policy.namespace, policy.name)))}"
