from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.flow_policy import set_policies
from palomar_server.policies import Policies, PolicyEntry, PolicyKey

LABELS = (
    "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy",
    "k8s:io.cilium.k8s.policy.name=allow=web",
    "k8s:io.cilium.k8s.policy.namespace=shop",
)
POLICY = flow_pb2.Policy(
    kind="CiliumNetworkPolicy", name="allow=web", namespace="shop", labels=LABELS, revision=9
)
FIELDS = ("ingress_allowed_by", "ingress_denied_by", "egress_allowed_by", "egress_denied_by")


def policies(*keys: PolicyKey) -> Policies:
    table = Policies()
    table.put(7, {key: PolicyEntry((LABELS,), 9, ("seen",)) for key in keys})
    return table


def verdict(number: int, *, egress: bool = False, reason: int = 0) -> flow_pb2.Flow:
    local, remote = flow_pb2.Endpoint(ID=7), flow_pb2.Endpoint(identity=300)
    flow = flow_pb2.Flow(
        verdict=flow_pb2.Verdict.ValueType(number),
        drop_reason_desc=flow_pb2.DropReason.ValueType(reason),
        traffic_direction=flow_pb2.EGRESS if egress else flow_pb2.INGRESS,
        policy_match_type=2,
        source=local if egress else remote,
        destination=remote if egress else local,
    )
    flow.l4.TCP.destination_port = 80
    return flow


@pytest.mark.parametrize("egress", [False, True])
@pytest.mark.parametrize(
    ("number", "reason", "field"),
    [
        (flow_pb2.FORWARDED, 0, "allowed"),
        (flow_pb2.REDIRECTED, 0, "allowed"),
        (flow_pb2.DROPPED, flow_pb2.POLICY_DENY, "denied"),
        (flow_pb2.DROPPED, flow_pb2.POLICY_DENIED, None),
        (flow_pb2.AUDIT, 0, None),
    ],
)
def test_verdicts_name_the_policies_behind_them(
    number: int, reason: int, field: str | None, *, egress: bool
) -> None:
    flow = verdict(number, egress=egress, reason=reason)
    set_policies(flow, 6, policies(PolicyKey(egress, 300, 6, 80)))
    wanted = f"{'egress' if egress else 'ingress'}_{field}_by"
    for name in FIELDS:
        assert list(getattr(flow, name)) == ([POLICY] if name == wanted else [])
    assert list(flow.policy_log) == (["seen"] if field else [])


@pytest.mark.parametrize(
    ("protocol", "field", "port_field"),
    [
        (17, "UDP", "destination_port"),
        (132, "SCTP", "destination_port"),
        (1, "ICMPv4", "type"),
        (58, "ICMPv6", "type"),
    ],
)
def test_each_protocol_has_something_in_the_place_of_the_port(
    protocol: int, field: str, port_field: str
) -> None:
    flow = verdict(flow_pb2.FORWARDED)
    flow.ClearField("l4")
    setattr(getattr(flow.l4, field), port_field, 8)
    set_policies(
        flow, protocol, policies(PolicyKey(egress=False, identity=300, protocol=protocol, port=8))
    )
    assert list(flow.ingress_allowed_by) == [POLICY]


def test_packets_without_ports_have_no_policy_even_where_all_are_allowed() -> None:
    flow = verdict(flow_pb2.FORWARDED)
    flow.ClearField("l4")
    flow.policy_match_type = 4
    set_policies(flow, 112, policies(PolicyKey(egress=False, identity=0, protocol=0, port=0)))
    assert not flow.ingress_allowed_by


def test_labels_of_other_sources_name_no_policy() -> None:
    table = Policies()
    labels = ("unspec:io.cilium.k8s.policy.name=x", "k8s:role=dns")
    key = PolicyKey(egress=False, identity=300, protocol=6, port=80)
    table.put(7, {key: PolicyEntry((labels,), 1, ())})
    flow = verdict(flow_pb2.FORWARDED)
    set_policies(flow, 6, table)
    assert list(flow.ingress_allowed_by) == [flow_pb2.Policy(labels=labels, revision=1)]
