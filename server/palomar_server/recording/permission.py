"""Who may record what: the users' hooks are asked as for a stream of the same flows.

Packets say more than flows, so whoever may not see some flows may not record their packets either,
nor fetch a file in which somebody else recorded them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.errors import Refused
from palomar_server.recording.both_ways import both_ways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_proto.flow import flow_pb2
    from palomar_server.hooks import Hooks
    from palomar_server.peer import Peer


class Permission:
    """Asks the OnGetFlows hooks.

    Args:
        hooks: has their chain.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def narrowed(
        self, packets: recordings_pb2.PacketFilter, peer: Peer
    ) -> recordings_pb2.PacketFilter:
        """What a peer may record of what it asks for.

        Args:
            packets: one way: what a hook adds must not be turned round.
            peer: who asks.

        Raises:
            RequestError: a hook refuses.
        """
        request = self._request(packets.whitelist, packets.blacklist)
        permitted = self._hooks.get_flows.run(request, peer)
        narrowed = recordings_pb2.PacketFilter()
        narrowed.CopyFrom(packets)
        del narrowed.whitelist[:], narrowed.blacklist[:]
        narrowed.whitelist.extend(permitted.whitelist)
        narrowed.blacklist.extend(permitted.blacklist)
        return narrowed

    def check(self, recording: recordings_pb2.Recording, peer: Peer) -> None:
        """Let a peer at a recording that is its own, or all of whose flows it may see.

        Raises:
            RequestError: it may not.
        """
        if recording.started_by == peer.who or not len(self._hooks.get_flows):
            return
        # As it was recorded: the way back may be of flows that the way there says nothing of.
        packets = both_ways(recording.request.filter)
        request = self._request(packets.whitelist, packets.blacklist)
        permitted = self._hooks.get_flows.run(request, peer)
        if list(permitted.whitelist) != list(request.whitelist) or list(
            permitted.blacklist
        ) != list(request.blacklist):
            raise Refused(
                f"recording {recording.id} of {recording.started_by} may have packets of flows "
                "that you may not see"
            )

    @staticmethod
    def _request(
        whitelist: Sequence[flow_pb2.FlowFilter], blacklist: Sequence[flow_pb2.FlowFilter]
    ) -> observer_pb2.GetFlowsRequest:
        return observer_pb2.GetFlowsRequest(whitelist=whitelist, blacklist=blacklist, follow=True)
