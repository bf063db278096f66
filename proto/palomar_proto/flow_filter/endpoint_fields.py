"""Predicates of the fields about one end of a flow; each exists for source and destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from palomar_proto.flow_filter.address import parse_addresses
from palomar_proto.flow_filter.cluster import parse_cluster_names
from palomar_proto.flow_filter.enumeration import parse_values
from palomar_proto.flow_filter.event import on_events, on_flows
from palomar_proto.flow_filter.fqdn import parse_fqdns
from palomar_proto.flow_filter.label_selector import parse_label_selectors
from palomar_proto.flow_filter.pod_name import parse_name_prefixes
from palomar_proto.flow_filter.port import PORT_MAX, parse_ports
from palomar_proto.flow_filter.workload import parse_workloads

if TYPE_CHECKING:
    from palomar_proto.flow import flow_pb2
    from palomar_proto.flow_filter.event import FieldMatcher

Side: TypeAlias = Literal["source", "destination"]

_WITH_PORTS = ("TCP", "UDP", "SCTP")


def endpoint_of(flow: flow_pb2.Flow, side: Side) -> flow_pb2.Endpoint:
    """That end of a flow; empty if it has none."""
    return flow.source if side == "source" else flow.destination


def address(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_ip, destination_ip."""
    field = f"{side}_ip"
    wanted = parse_addresses(field, getattr(flow_filter, field))
    return on_flows(
        wanted,
        lambda flow: wanted.matches(flow.IP.source if side == "source" else flow.IP.destination),
    )


def pod(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_pod, destination_pod."""
    field = f"{side}_pod"
    wanted = parse_name_prefixes(field, getattr(flow_filter, field))

    def matches(flow: flow_pb2.Flow) -> bool:
        endpoint = endpoint_of(flow, side)
        return any(one.matches(endpoint.namespace, endpoint.pod_name) for one in wanted)

    return on_flows(wanted, matches)


def service(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_service, destination_service."""
    field = f"{side}_service"
    wanted = parse_name_prefixes(field, getattr(flow_filter, field))

    def matches(flow: flow_pb2.Flow) -> bool:
        service = flow.source_service if side == "source" else flow.destination_service
        return any(one.matches(service.namespace, service.name) for one in wanted)

    return on_flows(wanted, matches)


def workload(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_workload, destination_workload: any workload of the endpoint."""
    field = f"{side}_workload"
    wanted = parse_workloads(field, getattr(flow_filter, field))

    def matches(flow: flow_pb2.Flow) -> bool:
        workloads = endpoint_of(flow, side).workloads
        return any(pattern.matches(one.name, one.kind) for one in workloads for pattern in wanted)

    return on_flows(wanted, matches)


def fqdn(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_fqdn, destination_fqdn: any of the names."""
    field = f"{side}_fqdn"
    wanted = parse_fqdns(field, getattr(flow_filter, field))

    def matches(flow: flow_pb2.Flow) -> bool:
        names = flow.source_names if side == "source" else flow.destination_names
        return any(map(wanted.matches, names))

    return on_flows(wanted, matches)


def label(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_label, destination_label."""
    field = f"{side}_label"
    wanted = parse_label_selectors(field, getattr(flow_filter, field))

    def matches(flow: flow_pb2.Flow) -> bool:
        labels = endpoint_of(flow, side).labels
        return any(selector.matches(labels) for selector in wanted)

    return on_events(wanted, matches)


def identity(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_identity, destination_identity; 0 is that of an endpoint without one, not of none."""
    field = f"{side}_identity"
    wanted: frozenset[int] = parse_values(field, getattr(flow_filter, field))
    return on_flows(
        wanted, lambda flow: flow.HasField(side) and endpoint_of(flow, side).identity in wanted
    )


def cluster(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_cluster_name, destination_cluster_name."""
    field = f"{side}_cluster_name"
    wanted = parse_cluster_names(field, getattr(flow_filter, field))
    return on_flows(wanted, lambda flow: endpoint_of(flow, side).cluster_name in wanted)


def port(flow_filter: flow_pb2.FlowFilter, side: Side) -> FieldMatcher:
    """source_port, destination_port."""
    field = f"{side}_port"
    wanted = parse_ports(field, getattr(flow_filter, field))

    def matches(flow: flow_pb2.Flow) -> bool:
        protocol = flow.l4.WhichOneof("protocol")
        if protocol not in _WITH_PORTS:
            return False
        # Only the 16 bits that a port has count.
        return getattr(getattr(flow.l4, protocol), field) & PORT_MAX in wanted

    return on_flows(wanted, matches)
