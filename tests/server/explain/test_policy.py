from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.explain.policy import deciding_policies, find_policy

POLICY = flow_pb2.Policy(name="no-web", namespace="shop", kind="CiliumNetworkPolicy")


def event(
    reason: int = flow_pb2.POLICY_DENIED, kind: int = 5, direction: int = flow_pb2.INGRESS
) -> flow_pb2.Flow:
    return flow_pb2.Flow(
        verdict=flow_pb2.DROPPED,
        drop_reason_desc=flow_pb2.DropReason.ValueType(reason),
        event_type=flow_pb2.CiliumEventType(type=kind),
        traffic_direction=flow_pb2.TrafficDirection.ValueType(direction),
        source=flow_pb2.Endpoint(namespace="shop", pod_name="cart-0"),
        destination=flow_pb2.Endpoint(namespace="shop", pod_name="web-0"),
        IP=flow_pb2.IP(source="10.0.0.1", destination="10.0.0.2"),
        l4=flow_pb2.Layer4(TCP=flow_pb2.TCP(destination_port=80)),
        Summary="TCP Flags: SYN",
    )


def test_other_drops_are_no_matter_of_policy() -> None:
    assert find_policy([event(flow_pb2.STALE_OR_UNROUTABLE_IP)]) is None


def test_default_deny_says_which_end_is_selected_and_in_which_direction() -> None:
    finding = find_policy([event()])
    assert finding is not None
    assert finding.cause == explanation_pb2.DROP_CAUSE_DEFAULT_DENY
    assert finding.headline == (
        "Default deny (ingress): some policy selects shop/web-0 (10.0.0.2), so only what a rule "
        "allows may pass, and no rule allows this. A packet (TCP Flags: SYN) from shop/cart-0 "
        "(10.0.0.1) to shop/web-0 (10.0.0.2) port 80/TCP was dropped."
    )
    egress = find_policy([event(direction=flow_pb2.EGRESS)])
    assert egress is not None
    assert "(egress): some policy selects shop/cart-0 (10.0.0.1)" in egress.headline


def test_without_a_direction_either_end_may_be_selected() -> None:
    finding = find_policy([event(direction=0)])
    assert finding is not None
    assert "selects one of its ends" in finding.headline


def test_rule_that_denies_is_named() -> None:
    flow = event(flow_pb2.POLICY_DENY)
    flow.ingress_denied_by.append(POLICY)
    finding = find_policy([event(flow_pb2.POLICY_DENY, 1), flow])
    assert finding is not None
    assert finding.cause == explanation_pb2.DROP_CAUSE_POLICY_DENY
    assert "was denied by CiliumNetworkPolicy shop/no-web (ingress)." in finding.headline
    [policy] = finding.policies
    assert (policy.policy, policy.denied, policy.direction) == (POLICY, True, flow_pb2.INGRESS)
    assert not finding.unnamed


def test_rule_that_denies_without_a_name_is_still_no_default_deny() -> None:
    finding = find_policy([event(flow_pb2.POLICY_DENY)])
    assert finding is not None
    assert finding.cause == explanation_pb2.DROP_CAUSE_POLICY_DENY
    assert finding.unnamed


def test_policies_are_named_once() -> None:
    flow = event()
    flow.egress_allowed_by.append(POLICY)
    [policy] = deciding_policies([flow, flow])
    assert (policy.denied, policy.direction) == (False, flow_pb2.EGRESS)
