from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.pcapng import PcapngEncoder
from palomar_server.errors import InvalidRequest, Refused
from palomar_server.filters.compiled import FilterLimits
from palomar_server.peer import OWN, Peer
from palomar_server.recording.preparation import Preparation
from palomar_server.recording_settings import RecordingSettings
from palomar_server.testing import Core
from tests.server.recording.recording_testbed import NODE, from_source


class Nobody:
    """Lets nobody see anything."""

    def on_get_flows(self, _request: object, _peer: Peer) -> None:
        raise Refused("not for you")


class OneSource:
    """Lets everybody see the flows from one address."""

    def on_get_flows(self, request: object, _peer: Peer) -> object:
        assert hasattr(request, "whitelist")
        request.whitelist.add(source_ip=["10.0.0.9"])
        return request


def preparation(core: Core) -> Preparation:
    return Preparation(
        RecordingSettings(),
        surroundings=core.surroundings,
        encoder=core.encoder,
        hooks=core.hooks,
        filter_limits=FilterLimits(),
        node_name=NODE,
    )


def sources(core: Core, packets: recordings_pb2.PacketFilter) -> list[str]:
    """Source and destination of the rules that a filter becomes, without those of tunnels."""
    rules = preparation(core).filter(packets, OWN).rules({})
    return [
        f"{'+'.join(map(str, one.sources)) or '*'} {'+'.join(map(str, one.destinations)) or '*'}"
        for one in rules
        if one.sources or one.destinations
    ]


def test_a_filter_goes_both_ways_unless_it_says_otherwise() -> None:
    packets = from_source(1)
    assert sources(Core(), packets) == ["10.0.0.1/32 *"]
    packets.one_way = False
    assert sources(Core(), packets) == ["10.0.0.1/32 *", "* 10.0.0.1/32"]


def test_what_a_hook_adds_is_not_turned_round() -> None:
    core = Core()
    core.hooks.register(OneSource(), "test")
    assert sources(core, recordings_pb2.PacketFilter()) == ["10.0.0.9/32 *"]


def test_a_hook_refuses_filters_and_triggers() -> None:
    core = Core()
    core.hooks.register(Nobody(), "test")
    with pytest.raises(Refused, match="not for you"):
        preparation(core).filter(recordings_pb2.PacketFilter(), OWN)
    request = recordings_pb2.StartRequest()
    request.trigger.filters.add(source_ip=["10.0.0.1"])
    with pytest.raises(Refused, match="not for you"):
        preparation(core).trigger(request, OWN)


def test_without_filters_of_its_own_there_is_no_trigger() -> None:
    request = recordings_pb2.StartRequest()
    assert preparation(Core()).trigger(request, OWN) is None
    request.trigger.before.FromSeconds(1)
    assert preparation(Core()).trigger(request, OWN) is None


def test_a_filter_that_is_none_is_refused() -> None:
    packets = recordings_pb2.PacketFilter(whitelist=[flow_pb2.FlowFilter(source_ip=["x/y"])])
    with pytest.raises(InvalidRequest):
        preparation(Core()).filter(packets, OWN)


def test_the_form_of_the_file_is_as_asked_and_says_what_was() -> None:
    request = recordings_pb2.StartRequest(format=recordings_pb2.RECORDING_FORMAT_PCAP)
    assert isinstance(preparation(Core()).file_encoder(request), PcapEncoder)
    request.format = recordings_pb2.RECORDING_FORMAT_PCAPNG
    request.filter.pcap_filter = "udp port 53"
    encoder = preparation(Core()).file_encoder(request)
    assert isinstance(encoder, PcapngEncoder)
    header = b"".join(bytes(one) for one in encoder.begin())
    assert b"udp port 53" in header
    assert NODE.encode() in header


@pytest.mark.parametrize("field", ["whitelist", "blacklist", "tuples"])
def test_too_many_are_refused_before_anything_goes_through_them(field: str) -> None:
    packets = recordings_pb2.PacketFilter()
    for _ in range(200_000):
        getattr(packets, field).add()
    with pytest.raises(InvalidRequest, match=f"{field} are over 64"):
        preparation(Core()).filter(packets, OWN)


def test_what_is_wrong_with_a_trigger_is_told_by_its_name() -> None:
    request = recordings_pb2.StartRequest()
    request.trigger.filters.add(http_status_code=["200"])
    with pytest.raises(InvalidRequest, match=r"^trigger\.filters\[0\]\.http_status_code: "):
        preparation(Core()).trigger(request, OWN)
