"""Makes of a request what records it: filter, sink, and what the dispatcher wants to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.json_format import MessageToJson

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.pcapng import PcapngEncoder
from palomar_recorder.sink import Sink
from palomar_recorder.stop_condition import StopCondition
from palomar_server.errors import InvalidRequest
from palomar_server.recording.both_ways import both_ways
from palomar_server.recording.interface_names import InterfaceNames
from palomar_server.recording.packet_filter import CompiledPacketFilter, check_counts
from palomar_server.recording.permission import Permission
from palomar_server.recording.subscription import Subscription

if TYPE_CHECKING:
    from palomar_recorder.encoder import Encoder
    from palomar_recorder.target import Target
    from palomar_server.encode import FlowEncoder
    from palomar_server.filters.compiled import FilterLimits
    from palomar_server.hooks import Hooks
    from palomar_server.peer import Peer
    from palomar_server.recording.session import Session
    from palomar_server.recording_settings import RecordingSettings
    from palomar_server.surroundings import Surroundings

_COMMENT_CHARACTERS_MAX = 8_192
_WHITELIST = "whitelist"
"""What errors call the filters of a trigger, where they are checked as a filter's."""
_PCAPNG = recordings_pb2.RECORDING_FORMAT_PCAPNG


class Selection(NamedTuple):
    """What a recording takes, compiled."""

    filter: CompiledPacketFilter
    """Which packets."""
    trigger: CompiledPacketFilter | None
    """With which it begins; None for at once."""

    @property
    def needs_flow(self) -> bool:
        """Whether packets alone are not enough to decide."""
        return self.filter.needs_flow or (self.trigger is not None and self.trigger.needs_flow)


class Preparation:
    """Of one node.

    Args:
        settings: limits.
        surroundings: what filters look into.
        encoder: builds flows for filters that need them.
        hooks: may narrow or refuse what a peer asks for, and add conditions to filters.
        filter_limits: what the filters of a request may cost.
        node_name: as cluster/node.
    """

    def __init__(
        self,
        settings: RecordingSettings,
        *,
        surroundings: Surroundings,
        encoder: FlowEncoder,
        hooks: Hooks,
        filter_limits: FilterLimits,
        node_name: str,
    ) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self._encoder = encoder
        self._hooks = hooks
        self._filter_limits = filter_limits
        self._node_name = node_name
        self.permission = Permission(hooks)
        """Asked about every request."""

    def selection(self, request: recordings_pb2.StartRequest, peer: Peer) -> Selection:
        """What a request of a peer selects, as far as the peer may see it.

        Raises:
            RequestError: a filter is not possible, or a hook refuses it.
        """
        return Selection(self.filter(request.filter, peer), self.trigger(request, peer))

    def filter(self, packets: recordings_pb2.PacketFilter, peer: Peer) -> CompiledPacketFilter:
        """What a peer's filter selects, as far as the peer may see it.

        Raises:
            RequestError: the filter is not possible, or a hook refuses it.
        """
        check_counts(packets, self._filter_limits)
        permitted = self.permission.narrowed(both_ways(packets), peer)
        build = self._hooks.build_filter
        return CompiledPacketFilter(
            permitted,
            surroundings=self._surroundings,
            encoder=self._encoder,
            limits=self._filter_limits,
            build=build.run if len(build) else None,
        )

    def trigger(
        self, request: recordings_pb2.StartRequest, peer: Peer
    ) -> CompiledPacketFilter | None:
        """Likewise, of the packet that begins the recording; None if there is no such.

        Raises:
            RequestError: as `filter`.
        """
        if not request.trigger.filters:
            return None
        packets = recordings_pb2.PacketFilter(
            whitelist=request.trigger.filters, one_way=request.filter.one_way
        )
        try:
            return self.filter(packets, peer)
        except InvalidRequest as error:
            # By the name that the caller knows it by.
            text = str(error)
            if text.startswith(_WHITELIST):
                error.args = (f"trigger.filters{text.removeprefix(_WHITELIST)}",)
            raise

    def file_encoder(self, request: recordings_pb2.StartRequest) -> Encoder:
        """The form of the file."""
        if request.format == _PCAPNG:
            return PcapngEncoder(
                snaplen_bytes=request.snaplen_bytes,
                comment=_comment(request),
                node_name=self._node_name,
            )
        return PcapEncoder(snaplen_bytes=request.snaplen_bytes)

    def subscription(
        self,
        session: Session,
        selection: Selection,
        encoder: Encoder,
        target: Target,
    ) -> Subscription:
        """What the dispatcher feeds, with its sink, for a session."""
        request = session.recording.request
        session.interfaces = named = InterfaceNames(encoder)
        sink = Sink(
            named,
            target,
            snaplen_bytes=request.snaplen_bytes,
            stop=StopCondition(packets=request.stop.packets, bytes=request.stop.bytes),
            queue_bytes_max=self._settings.recording_queue_bytes,
            on_change=session.sink_changed,
            on_end=session.sink_ended,
        )
        return Subscription(
            filter=selection.filter,
            sink=sink,
            wants_notes=request.format == _PCAPNG,
            snaplen_bytes=request.snaplen_bytes,
            trigger=selection.trigger,
            before_ns=request.trigger.before.ToNanoseconds(),
            before_max_bytes=self._settings.recording_before_max_bytes,
            on_trigger=session.triggered,
        )


def _comment(request: recordings_pb2.StartRequest) -> str:
    """What was recorded, for whoever opens the file."""
    asked = recordings_pb2.StartRequest(filter=request.filter)
    if request.HasField("trigger"):
        asked.trigger.CopyFrom(request.trigger)
    text = MessageToJson(asked, indent=None, preserving_proto_field_name=True)
    return text if len(text) <= _COMMENT_CHARACTERS_MAX else f"{text[:_COMMENT_CHARACTERS_MAX]}…"
