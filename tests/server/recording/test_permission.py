from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.errors import Refused
from palomar_server.hooks import Hooks
from palomar_server.peer import Peer
from palomar_server.recording.permission import Permission

if TYPE_CHECKING:
    from palomar_proto.observer import observer_pb2

ALICE, BOB = Peer("tcp:192.0.2.1"), Peer("tcp:192.0.2.2")
TEAM = flow_pb2.FlowFilter(source_pod=["team/"])


class TeamOnly:
    """Bob sees the flows of a team only, and nobody those of mallory."""

    def on_get_flows(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer
    ) -> observer_pb2.GetFlowsRequest | None:
        if any("mallory" in name for one in request.whitelist for name in one.source_pod):
            raise Refused("not for you")
        if peer != BOB:
            return None
        request.whitelist.append(TEAM)
        return request


def permission(hook: object | None = None) -> Permission:
    hooks = Hooks()
    if hook is not None:
        hooks.register(hook, "test")
    return Permission(hooks)


def recording() -> recordings_pb2.Recording:
    return recordings_pb2.Recording(id="a-00000000", started_by=ALICE.who)


def test_a_hook_narrows_what_is_recorded() -> None:
    packets = recordings_pb2.PacketFilter(pcap_filter="udp", one_way=True)
    asked = permission(TeamOnly())
    assert asked.narrowed(packets, ALICE) == packets
    narrowed = asked.narrowed(packets, BOB)
    assert [*narrowed.whitelist] == [TEAM]
    assert (narrowed.pcap_filter, narrowed.one_way) == ("udp", True)
    assert not packets.whitelist


def test_a_hook_may_refuse() -> None:
    packets = recordings_pb2.PacketFilter(whitelist=[flow_pb2.FlowFilter(source_pod=["mallory"])])
    with pytest.raises(Refused, match="not for you"):
        permission(TeamOnly()).narrowed(packets, ALICE)


def test_only_who_may_see_all_of_a_recording_gets_at_it() -> None:
    asked = permission(TeamOnly())
    asked.check(recording(), ALICE)
    asked.check(recording(), Peer("tcp:192.0.2.3"))
    with pytest.raises(Refused, match="a-00000000"):
        asked.check(recording(), BOB)


def test_without_hooks_everybody_may() -> None:
    permission().check(recording(), BOB)


class SourcesOnly:
    """Bob may see what a team sends, and not what it gets."""

    def on_get_flows(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer
    ) -> observer_pb2.GetFlowsRequest | None:
        if peer == BOB and any(not one.source_pod for one in request.whitelist):
            raise Refused("not for you")
        return None


def test_who_asks_for_a_recording_must_be_able_to_see_the_way_back() -> None:
    asked, found = permission(SourcesOnly()), recording()
    found.request.filter.whitelist.append(TEAM)
    with pytest.raises(Refused, match="not for you"):
        asked.check(found, BOB)
    found.request.filter.one_way = True
    asked.check(found, BOB)
