from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX, CaptureRule, PacketPoint
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1.recordings_pb2 import PacketFilter, PacketTuple
from palomar_server.errors import InvalidRequest
from palomar_server.filters.compiled import FilterLimits
from palomar_server.recording.packet_filter import RULES_PER_FILTER_MAX, CompiledPacketFilter
from palomar_server.table import Protocol
from palomar_server.testing import packet, transport
from tests.server.recording.random_capture import (
    CAPTURES,
    LINKS,
    Captured,
    decoded,
    new_encoder,
    new_surroundings,
)
from tests.server.recording.random_packets import packets_of
from tests.server.recording.rule_model import passing
from tests.server.recording.test_packet_tuples import tuples

if TYPE_CHECKING:
    from palomar_server.table import Mask
    from palomar_server.view import View

FlowFilter = flow_pb2.FlowFilter
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "source_ip": st.sampled_from(("10.0.0.1", "10.0.0.0/8", "fd00::1", "::/0", "FD00::2")),
    "source_port": st.sampled_from(("0", "53", "80")),
    "source_pod": st.sampled_from(("web", "shop/", "nobody", "/")),
    "source_label": st.sampled_from(("app=web", "!app", "app in (web, cart)", "reserved:world")),
    "source_workload": st.just(flow_pb2.Workload(name="web")),
    "source_identity": st.sampled_from((0, 2, 256, 16_777_217)),
    "protocol": st.sampled_from(("tcp", "udp", "icmp")),
    "tcp_flags": st.sampled_from((flow_pb2.TCPFlags(), flow_pb2.TCPFlags(SYN=True))),
    "ip_version": st.sampled_from((flow_pb2.IPv4, flow_pb2.IPv6, flow_pb2.IP_NOT_USED)),
    "interface": st.sampled_from(
        (
            flow_pb2.NetworkInterface(name="eth0"),
            flow_pb2.NetworkInterface(index=9),
            flow_pb2.NetworkInterface(index=2, name="lxc1"),
            flow_pb2.NetworkInterface(),
        )
    ),
    "verdict": st.sampled_from((flow_pb2.FORWARDED, flow_pb2.DROPPED)),
    "event_type": st.sampled_from(
        (
            flow_pb2.EventTypeFilter(type=1),
            flow_pb2.EventTypeFilter(type=4, match_sub_type=True, sub_type=5),
            flow_pb2.EventTypeFilter(),
        )
    ),
    "drop_reason_desc": st.sampled_from((0, 1_000, 1_003)),
    "traffic_direction": st.sampled_from((flow_pb2.INGRESS, flow_pb2.EGRESS)),
    "reply": st.booleans(),
}
_FIELDS |= {
    name.replace("source", "destination"): values
    for name, values in _FIELDS.items()
    if name.startswith("source")
}


@st.composite
def filters(draw: st.DrawFn) -> flow_pb2.FlowFilter:
    names = draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=3, unique=True))
    fields: dict[str, Any] = {name: draw(st.lists(_FIELDS[name], max_size=2)) for name in names}
    return FlowFilter(**fields)


REQUESTS = st.builds(
    PacketFilter,
    whitelist=st.lists(filters(), max_size=3),
    blacklist=st.lists(filters(), max_size=1),
    tuples=st.lists(tuples(), max_size=2),
    pcap_filter=st.sampled_from(("", "", "tcp", "len > 60")),
    one_way=st.booleans(),
)


def compiled(**fields: Any) -> CompiledPacketFilter:
    surroundings = new_surroundings()
    return CompiledPacketFilter(
        PacketFilter(**fields), surroundings=surroundings, encoder=new_encoder(surroundings)
    )


def captured(
    source: str = "10.0.0.1",
    destination: str = "10.0.0.2",
    port: int = 80,
    point: PacketPoint = PacketPoint.INGRESS,
) -> Captured:
    body = transport(Protocol.TCP, 40_000, port)
    content = packet(source, destination, Protocol.TCP, body)
    return Captured(content, is_raw=False, point=point, ifindex=1, reason=2)


@settings(max_examples=60, deadline=None)
@given(REQUESTS, CAPTURES, st.sampled_from((1, 2, RULES_PER_FILTER_MAX)))
def test_no_packet_that_is_selected_fails_the_rules(
    request: PacketFilter, made: list[Captured], rules_max: int
) -> None:
    surroundings = new_surroundings()
    view, packets = decoded(made, surroundings)
    one = CompiledPacketFilter(
        request, surroundings=surroundings, encoder=new_encoder(surroundings)
    )
    rules = one.rules(LINKS, rules_max)
    assert len(rules) <= rules_max
    come_up = passing(rules, packets, [p.point for p in made], [p.ifindex for p in made])
    selected = one.mask(view, packets)
    assert not (selected & ~come_up).any()
    if one.is_exact:
        assert selected.tolist() == come_up.tolist()
    if not one.needs_flow:
        assert (one.mask(None, packets) & come_up).tolist() == selected.tolist()


@pytest.mark.parametrize("protocol", [4, 94])
def test_a_packet_inside_of_another_comes_up_and_is_what_counts(protocol: int) -> None:
    inside = packet("10.0.0.1", "10.0.0.2", ethernet=False)
    outside = packet("192.0.2.8", "192.0.2.9", protocol, inside)
    made = [Captured(outside, is_raw=False, point=PacketPoint.EGRESS, ifindex=1, reason=0)]
    view, packets = decoded(made, new_surroundings())
    for one, selected in (
        (FlowFilter(source_ip=["10.0.0.1"]), True),
        (FlowFilter(source_pod=["web"], protocol=["tcp"], destination_port=["80"]), True),
        (FlowFilter(source_ip=["192.0.2.8"]), False),
    ):
        asked = compiled(whitelist=[one])
        come_up = passing(asked.rules(LINKS), packets, [PacketPoint.EGRESS], [1])
        assert come_up.tolist() == [True]
        assert asked.mask(view, packets).tolist() == [selected]


def test_a_packet_without_a_port_but_0_comes_up() -> None:
    content = packet(protocol=Protocol.UDP, body=transport(Protocol.UDP, 0, 0))
    made = [Captured(content, is_raw=False, point=PacketPoint.EGRESS, ifindex=1, reason=0)]
    view, packets = decoded(made, new_surroundings())
    asked = compiled(whitelist=[FlowFilter(source_port=["0"])])
    assert passing(asked.rules(LINKS), packets, [PacketPoint.EGRESS], [1]).tolist() == [True]
    assert asked.mask(view, packets).tolist() == [True]


def test_without_anything_every_packet_is_selected() -> None:
    everything = compiled()
    assert everything.rules(LINKS) == [CaptureRule()]
    assert everything.is_exact
    assert everything.is_fixed
    assert not everything.needs_flow
    assert everything.reads_bytes == 0
    assert everything.mask(None, packets_of([packet(), b"\1"])).tolist() == [True, True]


def test_every_part_has_to_let_a_packet_pass() -> None:
    made = [
        captured(),
        captured(port=81),
        captured(source="192.0.2.1"),
        captured(point=PacketPoint.DROP),
    ]
    view, packets = decoded(made, new_surroundings())
    web = FlowFilter(source_pod=["web"])
    dropped = FlowFilter(verdict=[flow_pb2.DROPPED])
    port_80 = PacketTuple(destination_port=80)
    for fields, expected in (
        ({"whitelist": [web]}, [True, True, False, True]),
        ({"blacklist": [dropped]}, [True, True, True, False]),
        ({"tuples": [port_80]}, [True, False, True, True]),
        ({"pcap_filter": "src host 10.0.0.1"}, [True, True, False, True]),
        (
            {"whitelist": [web], "blacklist": [dropped], "tuples": [port_80], "pcap_filter": "ip"},
            [True, False, False, False],
        ),
    ):
        assert compiled(**fields).mask(view, packets).tolist() == expected


def test_both_ways_are_meant_unless_the_request_says_otherwise() -> None:
    there, back = captured(), captured("10.0.0.2", "10.0.0.1")
    view, packets = decoded([there, back], new_surroundings())
    web = FlowFilter(source_pod=["web"])
    assert compiled(whitelist=[web]).mask(view, packets).tolist() == [True, True]
    one_way = compiled(whitelist=[web], one_way=True)
    assert one_way.mask(view, packets).tolist() == [True, False]


def test_tuples_alone_are_the_kernels() -> None:
    one = compiled(tuples=[PacketTuple(source_cidr="10.0.0.0/8", protocol=6)])
    assert len(one.rules(LINKS)) == 2
    assert one.is_exact
    assert not one.needs_flow


def test_where_rules_are_too_few_for_the_tuples_packets_are_asked() -> None:
    many = [PacketTuple(source_port=at, destination_port=at + 1) for at in range(1, 40)]
    one = compiled(tuples=many, one_way=True)
    assert len(one.rules(LINKS)) == RULES_PER_FILTER_MAX
    assert not one.is_exact
    assert not one.needs_flow
    ports = [(1, 2), (1, 3), (39, 40)]
    packets = packets_of(
        [packet(protocol=Protocol.UDP, body=transport(Protocol.UDP, *pair)) for pair in ports]
    )
    assert one.mask(None, packets).tolist() == [True, False, True]
    assert len(one.rules(LINKS, 39)) == 39
    assert one.is_exact


def test_a_verdict_alone_is_the_kernels() -> None:
    one = compiled(whitelist=[FlowFilter(verdict=[flow_pb2.DROPPED])])
    assert one.rules(LINKS) == [CaptureRule(points=frozenset({PacketPoint.DROP}))]
    assert one.is_exact


def test_an_expression_is_asked_of_packets_that_need_no_flow() -> None:
    one = compiled(pcap_filter="dst port 80")
    assert one.rules(LINKS) == [CaptureRule()]
    assert not one.is_exact
    assert not one.needs_flow
    assert one.reads_bytes == PACKET_SNAPLEN_BYTES_MAX
    packets = packets_of([captured().content, captured(port=81).content])
    assert one.mask(None, packets).tolist() == [True, False]


def test_flows_that_are_needed_must_be_there() -> None:
    with pytest.raises(ValueError, match="hand in a view"):
        compiled(whitelist=[FlowFilter(source_pod=["web"])]).mask(None, packets_of([packet()]))


def test_rules_follow_pods_as_they_come_and_go() -> None:
    surroundings = new_surroundings()
    one = CompiledPacketFilter(
        PacketFilter(whitelist=[FlowFilter(source_pod=["late"])]),
        surroundings=surroundings,
        encoder=new_encoder(surroundings),
    )
    assert not one.is_fixed
    assert one.rules(LINKS) == []
    late = {"at_ns": 1, "addresses": ["10.9.9.9"], "namespace": "default", "pod_name": "late"}
    surroundings.apply({"endpoints": {"late": late}})
    assert [str(rule.sources[0]) for rule in one.rules(LINKS) if rule.sources] == ["10.9.9.9/32"]


def test_predicates_of_others_are_asked_and_need_flows() -> None:
    def nothing(view: View) -> Mask:
        return np.zeros(len(view), np.bool_)

    surroundings = new_surroundings()
    dropped = PacketFilter(whitelist=[FlowFilter(verdict=[flow_pb2.FORWARDED])])
    options: dict[str, Any] = {
        "surroundings": surroundings,
        "encoder": new_encoder(surroundings),
    }
    narrowed = CompiledPacketFilter(dropped, build=lambda _: [nothing], **options)
    assert narrowed.needs_flow
    assert narrowed.mask(*decoded([captured()], surroundings)).tolist() == [False]
    assert not CompiledPacketFilter(dropped, build=lambda _: [], **options).needs_flow


def test_errors_name_the_place_in_the_request() -> None:
    for fields, text in (
        ({"whitelist": [FlowFilter(), FlowFilter(source_ip=["x"])]}, "whitelist[1].source_ip: 'x'"),
        ({"blacklist": [FlowFilter(http_method=["GET"])]}, "blacklist[0].http_method"),
        ({"tuples": [PacketTuple(protocol=999)]}, "tuples[0].protocol: 999"),
        ({"pcap_filter": "tcp port"}, "pcap_filter: 'tcp port'"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            compiled(**fields)
        assert str(caught.value).startswith(text)


def test_companions_for_the_other_way_do_not_count_against_the_limits() -> None:
    surroundings = new_surroundings()
    options: dict[str, Any] = {
        "surroundings": surroundings,
        "encoder": new_encoder(surroundings),
        "limits": replace(FilterLimits(), filters_max=2),
    }
    two = [FlowFilter(source_port=["1"]), FlowFilter(source_port=["2"])]
    CompiledPacketFilter(PacketFilter(whitelist=two), **options)
    with pytest.raises(InvalidRequest, match="filters are over 4"):
        CompiledPacketFilter(PacketFilter(whitelist=[*two, FlowFilter(reply=[True])]), **options)
    many = [PacketTuple(source_port=at) for at in range(1, 4)]
    with pytest.raises(InvalidRequest, match="tuples are over 4"):
        CompiledPacketFilter(PacketFilter(tuples=many), **options)
