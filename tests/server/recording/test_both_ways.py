from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1.recordings_pb2 import PacketFilter, PacketTuple
from palomar_server.recording.both_ways import both_ways

FlowFilter = flow_pb2.FlowFilter
WEB_80 = FlowFilter(destination_pod=["web"], destination_port=["80"], verdict=[flow_pb2.DROPPED])
FROM_WEB_80 = FlowFilter(source_pod=["web"], source_port=["80"], verdict=[flow_pb2.DROPPED])
SIDED = ("ip", "pod", "port", "label", "workload", "identity", "service", "fqdn", "cluster_name")


def test_a_filter_gets_a_companion_with_source_and_destination_swapped() -> None:
    widened = both_ways(PacketFilter(whitelist=[WEB_80], blacklist=[WEB_80]))
    assert list(widened.whitelist) == [WEB_80, FROM_WEB_80]
    assert list(widened.blacklist) == [WEB_80, FROM_WEB_80]


def test_every_field_that_both_ends_have_is_swapped() -> None:
    names = {field.name for field in FlowFilter.DESCRIPTOR.fields}
    assert {f"source_{name}" for name in SIDED} == {
        name for name in names if name.startswith("source_") and name != "source_ip_xlated"
    }
    for name in SIDED:
        one = FlowFilter()
        values = getattr(one, f"source_{name}")
        if name == "workload":
            values.add(name="x")
        else:
            values.append(7 if name == "identity" else "7")
        (swapped,) = list(both_ways(PacketFilter(whitelist=[one])).whitelist)[1:]
        assert list(getattr(swapped, f"destination_{name}")) == list(values)
        assert not getattr(swapped, f"source_{name}")


def test_a_filter_that_says_its_way_stays_alone() -> None:
    for one in (
        FlowFilter(source_pod=["web"], traffic_direction=[flow_pb2.INGRESS]),
        FlowFilter(source_pod=["web"], reply=[False]),
        FlowFilter(
            source_pod=["web"],
            experimental=FlowFilter.Experimental(cel_expression=["_flow.l4.TCP.source_port == 1u"]),
        ),
    ):
        assert list(both_ways(PacketFilter(whitelist=[one])).whitelist) == [one]


def test_a_filter_without_ends_stays_alone() -> None:
    dropped = FlowFilter(verdict=[flow_pb2.DROPPED])
    assert list(both_ways(PacketFilter(whitelist=[dropped])).whitelist) == [dropped]


def test_what_is_given_already_is_not_added() -> None:
    given_both = PacketFilter(whitelist=[WEB_80, FROM_WEB_80])
    assert list(both_ways(given_both).whitelist) == [WEB_80, FROM_WEB_80]


def test_tuples_get_their_like() -> None:
    there = PacketTuple(source_cidr="10.0.0.0/8", destination_port=80, protocol=6)
    back = PacketTuple(destination_cidr="10.0.0.0/8", source_port=80, protocol=6)
    assert list(both_ways(PacketFilter(tuples=[there])).tuples) == [there, back]
    assert list(both_ways(PacketFilter(tuples=[there, back])).tuples) == [there, back]
    same = PacketTuple(protocol=6)
    assert list(both_ways(PacketFilter(tuples=[same])).tuples) == [same]


def test_an_expression_is_left_as_it_is() -> None:
    assert both_ways(PacketFilter(pcap_filter="src port 80")).pcap_filter == "src port 80"


def test_one_way_is_taken_as_it_is() -> None:
    one_way = PacketFilter(whitelist=[WEB_80], tuples=[PacketTuple(source_port=1)], one_way=True)
    assert both_ways(one_way) == one_way


@given(st.lists(st.sampled_from([WEB_80, FROM_WEB_80, FlowFilter(source_ip=["::1"])]), max_size=4))
def test_what_is_widened_is_not_widened_again(filters: list[flow_pb2.FlowFilter]) -> None:
    once = both_ways(PacketFilter(whitelist=filters))
    again = PacketFilter()
    again.CopyFrom(once)
    again.one_way = False
    assert both_ways(again) == once
