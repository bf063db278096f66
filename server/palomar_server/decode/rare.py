"""The kinds of messages that come seldom, one by one: access log, agent notifications, debug."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palomar_bpf.payload import MessageType
from palomar_server.decode.access_log import AccessLogDecoder
from palomar_server.decode.agent_event import decode_agent_event
from palomar_server.decode.debug_event import decode_debug_event
from palomar_server.decode.malformed import Malformed

if TYPE_CHECKING:
    from palomar_server.decode.options import DecodeOptions
    from palomar_server.surroundings import Surroundings

_DEBUG, _ACCESS_LOG, _AGENT = MessageType.DEBUG, MessageType.ACCESS_LOG, MessageType.AGENT
_NO_GOB = (b"", b"\x00")
"""A gob begins with its length, which is not 0."""


class RareDecoder:
    """Decodes one payload at a time. Belongs to the agent's thread.

    Args:
        surroundings: gives meaning to what payloads refer to.
        options: what users chose.
    """

    def __init__(self, surroundings: Surroundings, options: DecodeOptions) -> None:
        self._surroundings = surroundings
        self._access_logs = AccessLogDecoder(surroundings, options)

    def decode(
        self, payload: bytes, cpu: int, received_ns: int, row: Any
    ) -> tuple[Malformed, bytes]:
        """Decode one payload; never raises because of what is in it.

        Args:
            payload: the message.
            cpu: where it was written.
            received_ns: when it came, UTC ns.
            row: its row of the flow table, zeroed but for the time: filled if nothing is wrong.

        Returns:
            What is wrong with it, and the serialised content of its event: flow.Flow without time,
            uuid and node, flow.AgentEvent or flow.DebugEvent. Empty if something is wrong.
        """
        kind = payload[0] if payload else -1
        if kind == _DEBUG:
            return decode_debug_event(payload, cpu, row, self._surroundings)
        if payload[1:2] in _NO_GOB:
            # Not one of the agent's: Hubble knows no such type of the datapath.
            return Malformed.UNKNOWN_TYPE if payload else Malformed.EMPTY, b""
        if kind == _ACCESS_LOG:
            return self._access_logs.decode(payload, received_ns, row)
        if kind == _AGENT:
            return decode_agent_event(payload, row)
        return Malformed.UNKNOWN_TYPE, b""
