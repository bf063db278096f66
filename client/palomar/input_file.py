"""A file of flows in place of a server: `palomar observe --input-file`.

One GetFlowsResponse as protojson per line, as `-o jsonpb` prints them. What a server does with a
request is done here: filters (the rules of `palomar_proto.flow_filter`), times, first and last.
Flows come in the order of the file. Memory is bounded by the longest line, and for `last` by the
responses it keeps.

Two dialects. As `hubble` does (`strict`): a line over 64 KiB ends the run, filters judge loss
notices and node states like flows that are not there, only the response's own time counts
for since and until, and every broken line is told. Otherwise: lines may be long, loss notices and
node states pass all filters, as they do on a server, a time is taken from where there is one, lines
with a bare flow are understood (Hubble's legacy JSON), the last few are looked for from the end,
and only the first broken lines are told one by one.
"""

import reprlib
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO, Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from palomar.errors import InvalidRequest, PalomarError, Unsupported
from palomar.input_lines import lines_backwards, lines_forwards
from palomar.json_reader import JsonReader, UnreadableError
from palomar.requests import NUMBER_MAX
from palomar_proto.flow.flow_pb2 import AgentEvent, Flow, FlowFilter
from palomar_proto.flow_filter import FilterError, ListMatcher, compile_lists, parse_filter
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse

LAST_MAX: Final = 1_000_000
"""The most that `last` may keep in memory; Hubble's limit."""
STRICT_LINE_BYTES_MAX: Final = 65_535
"""The longest line that hubble reads: Go's scanner has room for 64 KiB with the end of the line."""
LINE_BYTES_MAX: Final = 16 << 20
"""The longest line otherwise: far above what any flow takes, far below what memory has."""
_TOLD_MAX = 5

Warn = Callable[[str], object]
"""Is told, in one line of printable text, what is wrong with the file and left out."""


class InputFileError(PalomarError):
    """The file cannot be read, or not to its end."""


def read_responses(
    path: str, request: GetFlowsRequest, *, strict: bool, warn: Warn
) -> Iterator[GetFlowsResponse]:
    """Read what a request asks for from a file.

    Args:
        path: The file; `-` is standard input.
        request: Filters, since, until, number and first; the rest means nothing here.
        strict: Whether to do exactly as `hubble` does.
        warn: Called for what is wrong in the file and passed over.

    Raises:
        InvalidRequest: A filter is wrong, or more than LAST_MAX are to be kept; at once.
        Unsupported: A filter needs a package that is not installed; at once.
        InputFileError: The file cannot be read; while reading.
    """
    number = 0 if request.number == NUMBER_MAX else request.number
    if number > LAST_MAX and not request.first:
        raise InvalidRequest(
            f"last {number} of a file is over {LAST_MAX}; ask for fewer, or for all of them"
        )
    selector = _Selector(request, strict=strict)
    reader = _LineReader(strict=strict, warn=warn)
    return _responses(path, selector, reader, _Number(number, first=request.first, strict=strict))


class _Number(NamedTuple):
    """How many responses to give, and which end of the file they come from."""

    number: int
    """0 for all."""
    first: bool
    strict: bool


def _responses(
    path: str, selector: "_Selector", reader: "_LineReader", wanted: _Number
) -> Iterator[GetFlowsResponse]:
    try:
        with _opened(path) as file:
            if wanted.number and not wanted.first:
                yield from _last(file, selector, reader, wanted)
            else:
                found = _selected(_lines(file, strict=wanted.strict), selector, reader)
                yield from islice(found, wanted.number or None)
    finally:
        reader.tell_rest()


def _last(
    file: BinaryIO, selector: "_Selector", reader: "_LineReader", wanted: _Number
) -> Iterator[GetFlowsResponse]:
    """Keep them as bytes: a message takes several times as much memory."""
    kept: deque[bytes] = deque(maxlen=wanted.number)
    if wanted.strict or not file.seekable() or file.tell():
        found = _selected(_lines(file, strict=wanted.strict), selector, reader)
        kept.extend(response.SerializeToString() for response in found)
    else:
        found = _selected(_lines_from_end(file), selector, reader)
        kept.extendleft(response.SerializeToString() for response in islice(found, wanted.number))
    while kept:
        yield GetFlowsResponse.FromString(kept.popleft())


def _selected(
    lines: Iterator[tuple[str, bytes | None]], selector: "_Selector", reader: "_LineReader"
) -> Iterator[GetFlowsResponse]:
    for place, line in lines:
        response = reader.read(place, line)
        if response is not None and selector.takes(response):
            yield response


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        if path == "-":
            if sys.stdin is None:
                raise InputFileError("cannot read standard input: it is closed; name a file")
            yield sys.stdin.buffer
        else:
            with open(path, "rb") as file:  # noqa: PTH123 - as it was given, for the message
                yield file
    except OSError as error:
        raise InputFileError(
            f"cannot read {path}: {error.strerror or error}; name a file of JSON lines, "
            "or - for standard input"
        ) from error


def _lines(file: BinaryIO, *, strict: bool) -> Iterator[tuple[str, bytes | None]]:
    """The lines, each with what to call it; None for one too long.

    Raises:
        InputFileError: A line is too long for hubble.
    """
    bytes_max = STRICT_LINE_BYTES_MAX if strict else LINE_BYTES_MAX
    for number, line in enumerate(lines_forwards(file, bytes_max), 1):
        if line is None and strict:
            raise InputFileError(
                f"line {number} is over {bytes_max} bytes long, the most that hubble reads; "
                "without --strict-hubble it can be longer"
            )
        yield f"line {number}", line


def _lines_from_end(file: BinaryIO) -> Iterator[tuple[str, bytes | None]]:
    for number, line in enumerate(lines_backwards(file, LINE_BYTES_MAX), 1):
        yield f"line {number} from the end", line


class _LineReader:
    """Makes responses of lines, and tells of those that are none."""

    def __init__(self, *, strict: bool, warn: Warn) -> None:
        self._strict = strict
        self._warn = warn
        self._responses = JsonReader(GetFlowsResponse)
        self._flows = JsonReader(Flow)
        self._knows_all = True
        self._broken = 0

    def read(self, place: str, line: bytes | None) -> GetFlowsResponse | None:
        """Make a response of a line; None if it is passed over."""
        if line is None:
            self._pass_over(place, f"is over {LINE_BYTES_MAX >> 20} MiB long")
            return None
        if not self._strict and not line.strip():
            return None
        try:
            response = self._response(place, line)
        except UnreadableError as error:
            shown = reprlib.repr(line.decode(errors="replace"))
            self._pass_over(place, f"{error}: {shown}")
            return None
        if not self._strict and response.WhichOneof("response_types") is None:
            return self._with_bare_flow(line) or response
        return response

    def _response(self, place: str, line: bytes) -> GetFlowsResponse:
        try:
            return self._responses.read(line)
        except UnreadableError as error:
            flow = None if self._strict else self._with_bare_flow(line)
            if flow is not None:
                return flow
            if not self._knows_all:
                raise
            forgiving = JsonReader(GetFlowsResponse)
            forgiving.discard_unknown()
            response = forgiving.read(line)
            self._knows_all = False
            self._responses = forgiving
            self._flows.discard_unknown()
            self._warn(
                f"{place} {error}; such fields and values are left out from here on: "
                "a newer palomar may know them"
            )
            return response

    def _with_bare_flow(self, line: bytes) -> GetFlowsResponse | None:
        """The response with a flow that stands alone; None if the line is no flow."""
        try:
            flow = self._flows.read(line)
        except UnreadableError:
            return None
        if not flow.uuid and not flow.verdict:
            return None
        time = flow.time if flow.HasField("time") else None
        return GetFlowsResponse(flow=flow, node_name=flow.node_name, time=time)

    def _pass_over(self, place: str, reason: str) -> None:
        self._broken += 1
        if self._strict or self._broken <= _TOLD_MAX:
            self._warn(f"{place} {reason}; passed over")

    def tell_rest(self) -> None:
        """Tell of the broken lines that were not told one by one."""
        rest = self._broken - _TOLD_MAX
        if not self._strict and rest > 0:
            self._warn(f"{rest} more lines passed over, {self._broken} in all")


class _Selector:
    """What a request takes, apart from how many.

    Raises:
        InvalidRequest: A filter is wrong.
        Unsupported: A filter needs a package that is not installed.
    """

    def __init__(self, request: GetFlowsRequest, *, strict: bool) -> None:
        self._strict = strict
        self._since = _sortable(request.since) if request.HasField("since") else None
        self._until = _sortable(request.until) if request.HasField("until") else None
        filtered = bool(request.whitelist or request.blacklist)
        self._matcher = _compiled(request) if filtered else None
        self._takes_notices = not strict or _takes_no_flow(request)

    def takes(self, response: GetFlowsResponse) -> bool:
        if self._since is not None or self._until is not None:
            time = _sortable(self._time(response))
            if self._since is not None and time < self._since:
                return False
            if self._until is not None and time > self._until:
                return False
        if not response.HasField("flow"):
            return self._takes_notices
        return self._matcher is None or self._matcher.matches(response.flow)

    def _time(self, response: GetFlowsResponse) -> Timestamp:
        if not self._strict and not response.HasField("time"):
            if response.HasField("flow"):
                return response.flow.time
            if response.HasField("lost_events"):
                return response.lost_events.last
        return response.time


def _sortable(time: Timestamp) -> tuple[int, int]:
    return time.seconds, time.nanos


def _compiled(request: GetFlowsRequest) -> ListMatcher:
    try:
        return compile_lists(request.whitelist, request.blacklist)
    except FilterError as error:
        raise InvalidRequest(f"invalid filter {error}") from error
    except ModuleNotFoundError as error:
        raise Unsupported(
            f"to apply this filter to a file, the package of {error.name} is needed: "
            "pip install 'palomar[filters]'"
        ) from error


def _takes_no_flow(request: GetFlowsRequest) -> bool:
    """Whether hubble takes a response without a flow.

    It judges the flow that is not there: fields match it as they match any event that is no flow,
    but for the event's type, which it lacks.
    """
    return (not request.whitelist or any(map(_matches_no_flow, request.whitelist))) and not any(
        map(_matches_no_flow, request.blacklist)
    )


def _matches_no_flow(flow_filter: FlowFilter) -> bool:
    return all(
        field.matches(Flow() if name == "event_type" else AgentEvent())
        for name, field in parse_filter(flow_filter).items()
    )
