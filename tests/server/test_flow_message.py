from __future__ import annotations

from typing import Any

import pytest

from palomar_bpf.payload import ObservationPoint, TraceReason
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2
from palomar_server.address import parse_address
from palomar_server.flow_message import build_flow
from palomar_server.names import Names, Service
from palomar_server.table import Protocol
from palomar_server.testing import (
    ACK,
    SYN,
    Core,
    drop_payload,
    packet,
    trace_payload,
    transport,
)

WEB, DNS = "10.0.0.10", "10.96.0.10"
NAMES = Names(
    dns_names={parse_address(DNS): ("dns.example", "ns.example")},
    services={(parse_address(DNS), 53): Service("kube-dns", "kube-system")},
)
CONTEXT = {
    "reasons": {"2": "NETFILTER_DROP"},
    "symbols": {"4096": "nft_do_chain"},
    "links": {"3": "eth0"},
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
    core = Core(names=NAMES)
    core.surroundings.apply(CONTEXT)
    core.consume(payload)
    [row] = core.rows()
    return build_flow(row, core.surroundings, NAMES, "default/node", ("zone=a",))


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
        node_name="default/node",
        node_labels=["zone=a"],
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
        destination=flow_pb2.Endpoint(identity=2, labels=["reserved:world"]),
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
    assert flow.HasField("source") == flow.HasField("IP")


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


def test_a_drop_of_cilium_has_cilium_s_reason_and_no_function() -> None:
    flow = flow_of(drop_payload(packet(), subtype=133))
    assert flow.drop_reason_desc == flow_pb2.POLICY_DENIED
    assert flow.Summary == "TCP Flags: SYN"
    assert not flow.HasField("file")


def test_an_interface_without_name_keeps_its_number() -> None:
    flow = flow_of(trace_payload(packet(), ifindex=99))
    assert (flow.interface.index, flow.interface.name) == (99, "")
    assert not flow_of(trace_payload(packet())).HasField("interface")
