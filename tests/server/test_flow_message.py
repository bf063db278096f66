from __future__ import annotations

from typing import Any

import pytest

from palomar_bpf.payload import MessageType, ObservationPoint, TraceReason
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2
from palomar_server import flow_message
from palomar_server.address import parse_address
from palomar_server.flow_message import build_flow, fields_of
from palomar_server.table import Flag, Protocol
from palomar_server.testing import (
    ACK,
    SYN,
    Core,
    drop_payload,
    flow_rows,
    packet,
    trace_payload,
    transport,
)

WEB, DNS = "10.0.0.10", "10.96.0.10"
CONTEXT = {
    "reasons": {"2": "NETFILTER_DROP"},
    "symbols": {"4096": "nft_do_chain"},
    "links": {"3": "eth0"},
    "services": {DNS: {"53": {"name": "kube-dns", "namespace": "kube-system"}}},
    "dns_names": {"7": {DNS: ["dns.example", "ns.example"]}},
    "endpoints": {
        "web": {
            "at_ns": 0,
            "addresses": [WEB, "fd00::a"],
            "id": 7,
            "identity": 1001,
            "namespace": "shop",
            "pod_name": "web-0",
            "cluster_name": "default",
            "labels": ["k8s:app=web"],
            "workloads": [["web", "StatefulSet"]],
        }
    },
}


def flow_of(payload: bytes) -> flow_pb2.Flow:
    core = Core()
    core.surroundings.apply(CONTEXT)
    core.consume(payload)
    [row] = core.rows()
    return build_flow(row, core.surroundings)


def test_a_forwarded_packet_has_everything_that_is_known_of_it() -> None:
    body = transport(source_port=40_000, destination_port=53, tcp_flags=SYN | ACK)
    flow = flow_of(
        trace_payload(
            packet(WEB, DNS, body=body),
            source=7,
            ifindex=3,
            reason=TraceReason.ESTABLISHED,
            point=ObservationPoint.TO_ENDPOINT,
        )
    )
    expected = flow_pb2.Flow(
        verdict=flow_pb2.FORWARDED,
        Type=flow_pb2.L3_L4,
        traffic_direction=flow_pb2.EGRESS,
        trace_observation_point=flow_pb2.TO_ENDPOINT,
        trace_reason=flow_pb2.ESTABLISHED,
        ethernet=flow_pb2.Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02"),
        IP=flow_pb2.IP(source=WEB, destination=DNS, ipVersion=flow_pb2.IPv4),
        source=flow_pb2.Endpoint(
            ID=7,
            identity=1001,
            cluster_name="default",
            namespace="shop",
            pod_name="web-0",
            labels=["k8s:app=web"],
            workloads=[flow_pb2.Workload(name="web", kind="StatefulSet")],
        ),
        destination=flow_pb2.Endpoint(),
        destination_names=["dns.example", "ns.example"],
        destination_service=flow_pb2.Service(name="kube-dns", namespace="kube-system"),
        interface=flow_pb2.NetworkInterface(index=3, name="eth0"),
        Summary="TCP Flags: SYN, ACK",
    )
    expected.event_type.type = 4
    expected.is_reply.value = False
    expected.l4.TCP.source_port, expected.l4.TCP.destination_port = 40_000, 53
    expected.l4.TCP.flags.SYN = expected.l4.TCP.flags.ACK = True
    assert flow == expected


@pytest.mark.parametrize(
    ("reason", "is_reply"),
    [(TraceReason.NEW, False), (TraceReason.REPLY, True), (TraceReason.UNKNOWN, None)],
)
def test_the_reply_flag_is_set_only_where_it_is_known(
    reason: TraceReason, *, is_reply: bool | None
) -> None:
    flow = flow_of(trace_payload(packet(), reason=reason))
    assert flow.HasField("is_reply") == (is_reply is not None)
    assert flow.is_reply.value == flow.reply == bool(is_reply)


@pytest.mark.parametrize(
    ("protocol", "field", "summary"),
    [
        (Protocol.TCP, "TCP", "TCP Flags: SYN"),
        (Protocol.UDP, "UDP", "UDP"),
        (Protocol.SCTP, "SCTP", "SCTP"),
        (Protocol.ICMP, "ICMPv4", "ICMPv4 EchoRequest"),
        (Protocol.ICMPV6, "ICMPv6", "ICMPv6 8(0)"),
    ],
)
@pytest.mark.parametrize("ends", [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_the_transport_header_is_that_of_its_protocol(
    ends: tuple[str, str], protocol: Protocol, field: str, summary: str
) -> None:
    flow = flow_of(trace_payload(packet(*ends, protocol, transport(protocol, 1, 2))))
    assert flow.l4.WhichOneof("protocol") == field
    assert flow.Summary == summary
    message: Any = getattr(flow.l4, field)
    if field.startswith("ICMP"):
        assert (message.type, message.code) == (8, 0)
    else:
        assert (message.source_port, message.destination_port) == (1, 2)


@pytest.mark.parametrize(
    ("content", "summary"),
    [
        (b"", ""),
        (packet()[:14], "Ethernet"),
        (packet(protocol=47, body=bytes(8)), "IPv4"),
        (packet("fd00::1", "fd00::2", 47, bytes(8)), "IPv6"),
    ],
)
def test_the_summary_names_the_innermost_header(content: bytes, summary: str) -> None:
    flow = flow_of(trace_payload(content))
    assert flow.Summary == summary
    assert not flow.HasField("l4")
    assert flow.HasField("IP") == summary.startswith("IPv")
    # Who was at an end may be known by identity without it.
    assert flow.HasField("source")


def test_an_encrypted_packet_says_so() -> None:
    assert flow_of(trace_payload(packet(), reason=0x81)).IP.encrypted


def test_a_kernel_drop_tells_reason_and_function() -> None:
    flow = flow_of(drop_payload(packet(), extension={"drop_reason": 2, "location": 4096}))
    assert flow.verdict == flow_pb2.DROPPED
    assert flow.drop_reason == flow.drop_reason_desc == 1000 + drop_reason_pb2.NETFILTER_DROP
    assert flow.Summary == "TCP Flags: SYN; NETFILTER_DROP at nft_do_chain"
    assert flow.file.name == "nft_do_chain"
    assert not flow.HasField("is_reply")


@pytest.mark.parametrize(
    ("content", "extension", "summary"),
    [
        (b"", {"drop_reason": 2, "location": 4096}, "NETFILTER_DROP at nft_do_chain"),
        (packet(), {"drop_reason": 2}, "TCP Flags: SYN; NETFILTER_DROP"),
        (packet(), {"location": 4096}, "TCP Flags: SYN; nft_do_chain"),
        (packet(), {"drop_reason": 9}, "TCP Flags: SYN; reason 9"),
        (packet(), {}, "TCP Flags: SYN"),
    ],
)
def test_a_kernel_drop_tells_what_is_known(
    content: bytes, extension: dict[str, int | bytes], summary: str
) -> None:
    flow = flow_of(drop_payload(content, extension=extension))
    assert flow.Summary == summary
    assert flow.HasField("file") == ("location" in extension)


@pytest.mark.parametrize(("file", "name"), [(2, "bpf_lxc.c"), (115, "classifiers.h")])
def test_a_drop_of_cilium_has_cilium_s_reason_and_its_file(file: int, name: str) -> None:
    flow = flow_of(drop_payload(packet(), subtype=133, file=file, line=9))
    assert flow.drop_reason_desc == flow_pb2.POLICY_DENIED
    assert flow.Summary == "TCP Flags: SYN"
    assert flow.file == flow_pb2.FileInfo(name=name, line=9)


def row_flow(**columns: object) -> flow_pb2.Flow:
    core = Core()
    core.surroundings.apply(CONTEXT)
    [row] = flow_rows(1, **columns)
    return build_flow(row, core.surroundings)


def test_a_translated_source_is_shown_with_the_one_in_the_packet() -> None:
    hi, lo = parse_address("fd00::a")
    mapped = parse_address("192.0.2.7")[1]
    flow = row_flow(
        flags=Flag.IP | Flag.ORIGINAL | Flag.XLATED,
        source_hi=hi,
        source_lo=lo,
        source_xlated_lo=mapped,
    )
    assert (flow.IP.source, flow.IP.source_xlated) == ("fd00::a", "192.0.2.7")


def test_a_tunnel_has_the_outer_headers() -> None:
    flow = row_flow(
        tunnel_protocol=flow_pb2.Tunnel.VXLAN,
        tunnel_vni=77,
        tunnel_ip_version=flow_pb2.IPv4,
        tunnel_source_lo=parse_address("192.0.2.1")[1],
        tunnel_destination_lo=parse_address("192.0.2.2")[1],
        tunnel_source_port=5,
        tunnel_destination_port=8472,
    )
    expected = flow_pb2.Tunnel(protocol=flow_pb2.Tunnel.VXLAN, vni=77)
    expected.IP.source, expected.IP.destination = "192.0.2.1", "192.0.2.2"
    expected.IP.ipVersion = flow_pb2.IPv4
    expected.l4.UDP.source_port, expected.l4.UDP.destination_port = 5, 8472
    assert flow.tunnel == expected


def test_a_verdict_below_all_reasons_is_its_own_reason() -> None:
    flow = row_flow(
        event_type=MessageType.POLICY_VERDICT, verdict=flow_pb2.DROPPED, drop_reason=1 << 31
    )
    assert (flow.drop_reason, flow.drop_reason_desc) == (1 << 31, -(1 << 31))
    assert not flow.HasField("file")


def test_a_capture_has_its_point() -> None:
    flow = row_flow(event_type=MessageType.DEBUG_CAPTURE, event_subtype=4, verdict=0)
    assert flow.debug_capture_point == flow_pb2.DBG_CAPTURE_DELIVERY
    assert flow.sock_xlate_point == 0


def test_a_socket_event_of_an_unknown_pod_has_no_source() -> None:
    flow = row_flow(
        event_type=MessageType.TRACE_SOCK,
        event_subtype=flow_pb2.SOCK_XLATE_POINT_POST_DIRECTION_FWD,
        flags=Flag.IP | Flag.L4,
        source_hi=0,
        source_lo=0,
        cgroup_id=5,
        socket_cookie=6,
    )
    assert flow.Type == flow_pb2.SOCK
    assert flow.sock_xlate_point == flow_pb2.SOCK_XLATE_POINT_POST_DIRECTION_FWD
    assert (flow.cgroup_id, flow.socket_cookie) == (5, 6)
    assert flow.IP.source == ""
    assert flow.IP.destination != ""


def test_a_trace_id_has_the_option_it_was_in() -> None:
    flow = row_flow(ip_trace_id=9, ip_trace_option=136)
    assert flow.ip_trace_id == flow_pb2.IPTraceID(trace_id=9, ip_option_type=136)
    assert not row_flow().HasField("ip_trace_id")


def test_an_interface_without_name_keeps_its_number() -> None:
    flow = flow_of(trace_payload(packet(), ifindex=99))
    assert (flow.interface.index, flow.interface.name) == (99, "")
    assert not flow_of(trace_payload(packet())).HasField("interface")


def test_a_summary_needs_no_packet_where_the_kernel_says_why() -> None:
    core = Core()
    core.surroundings.apply(CONTEXT)
    site = core.surroundings.drop_site(4096, 2)
    columns = {"event_type": MessageType.DROP, "verdict": flow_pb2.DROPPED, "drop_reason": 1_002}
    [row] = flow_rows(1, flags=0, drop_site=site, **columns)
    flow = flow_pb2.Flow()
    flow_message.set_summary(flow, fields_of(row), core.surroundings)
    assert flow == flow_pb2.Flow(Summary="NETFILTER_DROP at nft_do_chain")


def test_columns_become_numbers_of_python() -> None:
    [row] = flow_rows(1, source_port=7, is_reply=-1)
    fields = fields_of(row)
    assert (type(fields.source_port), fields.source_port, fields.is_reply) == (int, 7, -1)


def test_services_are_looked_up_for_packets_with_addresses_only() -> None:
    columns = {"destination_lo": parse_address(DNS)[1], "destination_port": 53}
    assert row_flow(**columns).destination_service.name == "kube-dns"
    assert not row_flow(flags=Flag.ETHERNET, **columns).HasField("destination_service")
    flow = row_flow(source_lo=parse_address(DNS)[1], source_port=53)
    assert flow.source_service.namespace == "kube-system"
    assert not flow.HasField("destination_service")
