"""Every call of the API, once: its method, its request as bytes, how its answers are read.

Does no I/O. `Client` and `AsyncClient` run these, each in its way, and know nothing else of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar, Unpack

from palomar.errors import InvalidRequest, PalomarError, Unsupported
from palomar.filters import Filter
from palomar.health import HEALTH_METHOD, Health, decode_health_response, encode_health_request
from palomar.requests import (
    Batching,
    EventKeywords,
    ObserveKeywords,
    Selection,
    add_batch_options,
    events_request,
    keyword_request,
)
from palomar_proto.flow.flow_pb2 import FlowFilter
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
    GetFlowsRequest,
    GetFlowsResponse,
    GetNamespacesRequest,
    GetNamespacesResponse,
    GetNodesRequest,
    GetNodesResponse,
    ServerStatusRequest,
    ServerStatusResponse,
)
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from palomar.queries import ExplainKeywords, HintsKeywords, SummaryKeywords
    from palomar.recording_requests import RecordKeywords
    from palomar_proto.flow.flow_pb2 import Flow
    from palomar_proto.palomar.v1.explanation_pb2 import ExplainResponse
    from palomar_proto.palomar.v1.flow_field_pb2 import FlowField
    from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse
    from palomar_proto.palomar.v1.recordings_pb2 import (
        DeleteResponse,
        DownloadResponse,
        ListResponse,
        Recording,
        StreamResponse,
    )
    from palomar_proto.palomar.v1.summary_pb2 import Grouping, SummarizeResponse
    from palomar_proto.peer.peer_pb2 import ChangeNotification

AnswerT = TypeVar("AnswerT")
MessageT = TypeVar("MessageT", bound="Message")

_ONLY_RELAY: Final = "only a relay knows the nodes: name one with --server"
_ONLY_NODE: Final = "ask the node itself: relays and older servers do not serve these"
_ONLY_PALOMARD: Final = "only palomard answers that; of this server read the flows with observe"
_NO_RECORDER: Final = "only palomard records packets: name one that runs on the node with --server"


def _raise(error: PalomarError) -> object:
    raise error


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[AnswerT]):
    """One call.

    Attributes:
        method: Path of the method.
        request: The request, in its wire form.
        read: Reads an answer.
        instead: What to do where a server lacks the method; stands in the error.
        settle: Turns an error into an answer, or raises it.
        patient: Whether the answer may take as long as there is work for it.
    """

    method: str
    request: bytes
    read: Callable[[bytes], AnswerT]
    instead: str = ""
    settle: Callable[[PalomarError], AnswerT] = _raise  # type: ignore[assignment]  # never returns
    patient: bool = False


def flows(request: GetFlowsRequest) -> Operation[GetFlowsResponse]:
    """Flows, one by one."""
    return Operation(
        method="/observer.Observer/GetFlows",
        request=request.SerializeToString(),
        read=GetFlowsResponse.FromString,
    )


def flow_batches(request: GetFlowsRequest) -> Operation[FlowBatch]:
    """Flows in batches."""
    return Operation(
        method="/palomar.v1.FlowBatches/GetFlowBatches",
        request=request.SerializeToString(),
        read=FlowBatch.FromString,
    )


def flows_request(
    filters: tuple[Filter | FlowFilter, ...],
    exclude: Iterable[Filter | FlowFilter],
    resume: bytes,
    batching: Batching | None,
    now_ns: int,
    **keywords: Unpack[ObserveKeywords],
) -> GetFlowsRequest:
    """Build the request of `Client.observe` and `Client.flow_batches` from their arguments."""
    request = keyword_request(filters, exclude, now_ns, **keywords)
    add_batch_options(request, resume, batching)
    return request


def status() -> Operation[ServerStatusResponse]:
    """The server's counters."""
    return Operation(
        method="/observer.Observer/ServerStatus",
        request=ServerStatusRequest().SerializeToString(),
        read=ServerStatusResponse.FromString,
    )


def health() -> Operation[Health | None]:
    """Whether the server serves."""
    return Operation(
        method=HEALTH_METHOD,
        request=encode_health_request(),
        read=decode_health_response,
        settle=_settle_health,
    )


def _settle_health(error: PalomarError) -> Health | None:
    if isinstance(error, Unsupported):
        return None
    if isinstance(error, InvalidRequest):  # NOT_FOUND: the check is there and knows no observer
        return Health.SERVICE_UNKNOWN
    raise error


def nodes() -> Operation[GetNodesResponse]:
    """The nodes behind a relay."""
    return Operation(
        method="/observer.Observer/GetNodes",
        request=GetNodesRequest().SerializeToString(),
        read=GetNodesResponse.FromString,
        instead=_ONLY_RELAY,
    )


def namespaces() -> Operation[GetNamespacesResponse]:
    """The namespaces of recent flows."""
    return Operation(
        method="/observer.Observer/GetNamespaces",
        request=GetNamespacesRequest().SerializeToString(),
        read=GetNamespacesResponse.FromString,
        instead="servers before Hubble 1.13 lack it; read the flows with observe",
    )


def peers() -> "Operation[ChangeNotification]":
    """The nodes that serve flows, and how their list changes."""
    from palomar_proto.peer.peer_pb2 import ChangeNotification, NotifyRequest  # noqa: PLC0415 - rare

    return Operation(
        method="/peer.Peer/Notify",
        request=NotifyRequest().SerializeToString(),
        read=ChangeNotification.FromString,
        instead="only a node whose agent knows the others lists them, not a relay",
    )


def agent_events(request: GetAgentEventsRequest) -> Operation[GetAgentEventsResponse]:
    """What the node's agent did."""
    return Operation(
        method="/observer.Observer/GetAgentEvents",
        request=request.SerializeToString(),
        read=GetAgentEventsResponse.FromString,
        instead=_ONLY_NODE,
    )


def debug_events(request: GetDebugEventsRequest) -> Operation[GetDebugEventsResponse]:
    """Debug messages of the BPF programs."""
    return Operation(
        method="/observer.Observer/GetDebugEvents",
        request=request.SerializeToString(),
        read=GetDebugEventsResponse.FromString,
        instead=_ONLY_NODE,
    )


def agent_events_request(now_ns: int, **keywords: Unpack[EventKeywords]) -> GetAgentEventsRequest:
    """Build the request of `Client.agent_events` from its keywords."""
    return events_request(GetAgentEventsRequest, Selection(**keywords), now_ns)


def debug_events_request(now_ns: int, **keywords: Unpack[EventKeywords]) -> GetDebugEventsRequest:
    """Build the request of `Client.debug_events` from its keywords."""
    return events_request(GetDebugEventsRequest, Selection(**keywords), now_ns)


# What follows loads its messages only when it is called: most runs of the command line never do.


def hints(
    field: "str | FlowField.ValueType",
    search: str,
    now_ns: int,
    **keywords: "Unpack[HintsKeywords]",
) -> "Operation[FilterHintsResponse]":
    """Which values a field has."""
    from palomar.queries import hints_request  # noqa: PLC0415 - see above
    from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse  # noqa: PLC0415 - likewise

    return Operation(
        method="/palomar.v1.Queries/FilterHints",
        request=hints_request(field, search, now_ns, **keywords).SerializeToString(),
        read=FilterHintsResponse.FromString,
        instead=_ONLY_PALOMARD,
    )


def summarize(
    group_by: "Iterable[str | Grouping]", now_ns: int, **keywords: "Unpack[SummaryKeywords]"
) -> "Operation[SummarizeResponse]":
    """How many flows, packets and bytes, by what, and when."""
    from palomar.queries import summarize_request  # noqa: PLC0415 - see above
    from palomar_proto.palomar.v1.summary_pb2 import SummarizeResponse  # noqa: PLC0415 - likewise

    return Operation(
        method="/palomar.v1.Queries/Summarize",
        request=summarize_request(group_by, now_ns, **keywords).SerializeToString(),
        read=SummarizeResponse.FromString,
        instead=_ONLY_PALOMARD,
    )


def explain(
    about: "Flow | str | int | None", now_ns: int, **keywords: "Unpack[ExplainKeywords]"
) -> "Operation[ExplainResponse]":
    """Why a packet was dropped."""
    from palomar.queries import explain_request  # noqa: PLC0415 - see above
    from palomar_proto.palomar.v1.explanation_pb2 import ExplainResponse  # noqa: PLC0415 - likewise

    return Operation(
        method="/palomar.v1.Queries/Explain",
        request=explain_request(about, now_ns, **keywords).SerializeToString(),
        read=ExplainResponse.FromString,
        instead=_ONLY_PALOMARD,
    )


def start_recording(
    filters: Iterable[Filter | FlowFilter],
    exclude: Iterable[Filter | FlowFilter],
    **keywords: "Unpack[RecordKeywords]",
) -> "Operation[Recording]":
    """Begin a recording."""
    from palomar.recording_requests import start_request  # noqa: PLC0415 - see above
    from palomar_proto.palomar.v1.recordings_pb2 import Recording  # noqa: PLC0415 - likewise

    return _of_recordings("Start", start_request(filters, exclude, **keywords), Recording)


def recordings(statuses: Iterable[str], limit: int) -> "Operation[ListResponse]":
    """The recordings of a node."""
    from palomar.recording_requests import list_request  # noqa: PLC0415 - see above
    from palomar_proto.palomar.v1.recordings_pb2 import ListResponse  # noqa: PLC0415 - likewise

    return _of_recordings("List", list_request(statuses, limit), ListResponse)


def recording(recording_id: str) -> "Operation[Recording]":
    """One recording."""
    from palomar_proto.palomar.v1.recordings_pb2 import GetRequest, Recording  # noqa: PLC0415 - see above

    return _of_recordings("Get", GetRequest(id=recording_id), Recording)


def watch_recording(recording_id: str) -> "Operation[Recording]":
    """A recording, as it goes on."""
    from palomar_proto.palomar.v1.recordings_pb2 import Recording, WatchRequest  # noqa: PLC0415 - see above

    return _of_recordings("Watch", WatchRequest(id=recording_id), Recording)


def stop_recording(recording_id: str) -> "Operation[Recording]":
    """End a recording; answered when everything is written."""
    from palomar_proto.palomar.v1.recordings_pb2 import Recording, StopRequest  # noqa: PLC0415 - see above

    return _of_recordings("Stop", StopRequest(id=recording_id), Recording, patient=True)


def delete_recording(recording_id: str) -> "Operation[DeleteResponse]":
    """Remove a recording."""
    from palomar_proto.palomar.v1.recordings_pb2 import DeleteRequest, DeleteResponse  # noqa: PLC0415 - see above

    return _of_recordings("Delete", DeleteRequest(id=recording_id), DeleteResponse)


def download_recording(recording_id: str, offset: int) -> "Operation[DownloadResponse]":
    """The file of a recording."""
    from palomar_proto.palomar.v1.recordings_pb2 import DownloadRequest, DownloadResponse  # noqa: PLC0415 - see above

    request = DownloadRequest(id=recording_id, offset=offset)
    return _of_recordings("Download", request, DownloadResponse)


def record_stream(
    filters: Iterable[Filter | FlowFilter],
    exclude: Iterable[Filter | FlowFilter],
    **keywords: "Unpack[RecordKeywords]",
) -> "Operation[StreamResponse]":
    """Packets as they come."""
    from palomar.recording_requests import start_request  # noqa: PLC0415 - see above
    from palomar_proto.palomar.v1.recordings_pb2 import StreamRequest, StreamResponse  # noqa: PLC0415 - likewise

    request = StreamRequest(start=start_request(filters, exclude, **keywords))
    return _of_recordings("Stream", request, StreamResponse)


def _of_recordings(
    method: str, request: "Message", answer: type[MessageT], *, patient: bool = False
) -> Operation[MessageT]:
    return Operation(
        method=f"/palomar.v1.Recordings/{method}",
        request=request.SerializeToString(),
        read=answer.FromString,
        instead=_NO_RECORDER,
        patient=patient,
    )
