"""Cases of recorder.jsonl: requests to Record, packets from the kernel, and what became of both.

What the kernel's programs would give stands in `capture` steps, and is put into a source of packets
without a kernel. Statistics may be summed up on the way, so of the running answers only the first,
their order and what they lead to are compared. What Hubble does wrong is undone in what is
expected: see `Defect`. For each there has to be a rule in docs/deliberate-differences.yaml.
"""

from __future__ import annotations

import asyncio
import enum
import re
import struct
import tempfile
from contextlib import aclosing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from structlog.testing import capture_logs

from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX, CaptureRule
from palomar_bpf.errors import CaptureError
from palomar_proto.recorder import recorder_pb2
from palomar_recorder.storage import Storage
from palomar_server.catalogue.catalogue import Catalogue
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.errors import RequestError
from palomar_server.filters.compiled import FilterLimits
from palomar_server.hooks import Hooks
from palomar_server.peer import OWN
from palomar_server.recording.dispatcher import Dispatcher
from palomar_server.recording.recorder import Recorder
from palomar_server.recording.recorder_service import RecorderService
from palomar_server.recording.testing import FakePacketSource, recorded
from palomar_server.recording_settings import RecordingSettings
from palomar_server.streams import Streams
from palomar_server.surroundings import Surroundings
from tests.conformance.corpus import Case, Comparison, Run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

_CAPTURE = struct.Struct("=BBHIQII")
"""Type 6, subtype, rule id, reserved, boot time (ns), captured and original length."""
_CAPTURE_TYPE = 6
_ARRIVAL_S = 5.0
"""How long what a step leads to may take."""
_QUIET_S = 0.05
"""How long to wait for what no step can be seen to lead to."""
_NO_PACKET_BYTES = 128
_NAME = re.compile(r"(?P<prefix>[a-z0-9]+)_(\d{10})_(\d+)_(?P<rest>.*)")


class Defect(enum.StrEnum):
    """What Hubble does; the names that rules in docs/deliberate-differences.yaml have."""

    WORDING = "wording of errors"
    NO_LAST_ANSWER = "no last answer after an error"
    CUT_LENGTH = "capture length cut to 16 bits"
    LEFT_FILE = "file of a failed start left behind"
    LONG_PACKET = "packets longer than the capture length"
    CUT_PROTOCOL = "protocol cut to 8 bits"


class _Source(FakePacketSource):
    """Remembers what was asked of it first."""

    def __init__(self) -> None:
        super().__init__()
        self.installed: dict[str, Any] | None = None

    def set_rules(self, rules: Mapping[int, CaptureRule], snaplen_bytes: int) -> None:
        if self.installed is None and rules:
            self.installed = {"filters": [_told_rule(rule) for rule in rules.values()]}
        super().set_rules(rules, snaplen_bytes)


class _Call:
    """One call of Record, step by step."""

    def __init__(self, service: RecorderService) -> None:
        self.responses: list[recorder_pb2.RecordResponse] = []
        self.error: str | None = None
        self._requests: asyncio.Queue[recorder_pb2.RecordRequest | None] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self.task = asyncio.get_running_loop().create_task(self._read(service))

    async def send(self, request: recorder_pb2.RecordRequest | None) -> None:
        """Send a request, or nothing more ever; returns when it was answered."""
        seen = len(self.responses)
        await self._requests.put(request)
        await self.until(lambda: len(self.responses) > seen)

    async def until(self, condition: Any) -> None:
        """Wait until it holds, or the call is over."""
        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ARRIVAL_S):
                    await self._changed.wait_for(lambda: self.task.done() or condition())

    @property
    def packets(self) -> int:
        """Packets captured, by the last answer."""
        return _statistics(self.responses[-1]).packets_captured if self.responses else 0

    async def cancel(self) -> None:
        """Leave, as a client whose process ends."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def _read(self, service: RecorderService) -> None:
        try:
            async with (
                aclosing(self._sent()) as requests,
                aclosing(service.record(requests, OWN)) as answers,
            ):
                async for messages in answers:
                    self.responses += map(recorder_pb2.RecordResponse.FromString, messages)
                    await self._tell()
        except RequestError as error:
            self.error = str(error)
        finally:
            with suppress(asyncio.CancelledError):
                asyncio.get_running_loop().call_soon(self._tell_later)

    def _tell_later(self) -> None:
        self._told = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _sent(self) -> AsyncGenerator[recorder_pb2.RecordRequest, None]:
        while (request := await self._requests.get()) is not None:
            yield request


def prepare(_: Path) -> Run:
    """Nothing is shared."""
    return run


def run(case: Case) -> Comparison:
    """Run one case."""
    # Each recording is logged, which says nothing here.
    with tempfile.TemporaryDirectory() as folder, capture_logs():
        return asyncio.run(_run(case, Path(folder)))


async def _run(case: Case, folder: Path) -> Comparison:
    surroundings = Surroundings(EndpointTable())
    surroundings.apply({"boot_offset_ns": int(case["base_unix_ns"])}, 0)
    encoder = FlowEncoder(surroundings, case["node_name"])
    source = _Source()
    if case["name"] == "lifecycle/datapath-error":
        source.refuse = CaptureError("regeneration failed")
    storage_folder = folder / "pcaps"
    settings = RecordingSettings(
        recordings_directory=storage_folder,
        recordings_free_min_bytes=0,
        database_url=f"sqlite+aiosqlite:///{folder}/palomar.db",
    )
    recorder = Recorder(
        settings,
        Storage(storage_folder, max_bytes=1 << 30, free_min_bytes=0, file_max_bytes=1 << 30),
        Catalogue(settings.database_url),
        hooks=Hooks(),
        surroundings=surroundings,
        encoder=encoder,
        filter_limits=FilterLimits(),
        node_name=case["node_name"],
    )
    dispatcher = Dispatcher(source, surroundings, encoder, apart=nullcontext)
    recorder.sessions.connect(dispatcher)
    call = _Call(RecorderService(recorder, Streams()))
    snaplen_bytes = 0
    try:
        for step in case["steps"]:
            await _take(step, call, source)
            for session in recorder.sessions:
                snaplen_bytes = session.recording.request.snaplen_bytes
        if case["ended"]:
            await call.until(lambda: False)
        ended = call.task.done()
    finally:
        await call.cancel()
        await recorder.close()
        await asyncio.to_thread(dispatcher.close)
    if source.installed is not None:
        source.installed["cap_len"] = _told_length(snaplen_bytes)
    actual = {
        "responses": [_told(one, storage_folder) for one in call.responses],
        "error": call.error,
        "ended": ended,
        "installed": source.installed,
        "files": _files(storage_folder),
    }
    return _compared(case, actual)


async def _take(step: dict[str, Any], call: _Call, source: _Source) -> None:
    """Do one step, and wait for what it leads to."""
    if "send" in step:
        request = json_format.ParseDict(step["send"], recorder_pb2.RecordRequest())
        await call.send(request)
    elif "capture" in step:
        raw = bytes.fromhex(step["capture"])
        if raw[0] != _CAPTURE_TYPE:
            # No packet of our programs, whatever it is.
            source.push(raw.ljust(_NO_PACKET_BYTES, b"\0"), numbers=source.rules)
            await asyncio.sleep(_QUIET_S)
            return
        before = call.packets
        numbers = source.rules if step["rule_id"] == "own" else ()
        if source.push(_payload(raw), numbers=numbers):
            await call.until(lambda: call.packets > before)
    elif "close_send" in step:
        await call.send(None)
    elif "cancel" in step:
        await call.cancel()
    elif "sleep_ms" in step:
        # As long as it takes, but no longer than the case has it.
        with suppress(TimeoutError):
            async with asyncio.timeout(step["sleep_ms"] / 1000):
                await asyncio.shield(asyncio.wait((call.task,)))


def _payload(raw: bytes) -> bytes:
    """What our programs would have sent of such a packet."""
    _, _, _, _, boot_ns, captured, original = _CAPTURE.unpack_from(raw)
    start = _CAPTURE.size
    return recorded(
        raw[start : start + captured], time_ns=boot_ns, original_bytes=max(original, captured)
    )


def _compared(case: Case, actual: dict[str, Any]) -> Comparison:
    expected: dict[str, Any] = {
        "responses": [_normal(one) for one in case["responses"]],
        "error": case["error"] and case["error"]["message"],
        "ended": case["ended"],
        "installed": case["installed"],
        "files": case["files"],
    }
    defects = [defect for defect in _UNDO if _UNDO[defect](case, expected, actual)]
    if expected["installed"] and actual["installed"]:
        wanted = expected["installed"]
        expected["installed"] = {**wanted, "cap_len": _told_length(wanted["cap_len"])}
        _count_covered(wanted["filters"], actual["installed"])
    if "cancel" in case["steps"][-1]:
        # Nobody is there to be told: only the file and the catalogue can.
        expected["error"] = None
    known = [*expected["responses"]]
    for one in (expected, actual):
        one["responses"] = _milestones(one["responses"], known)
    return Comparison(expected, actual, tuple(defects))


def _milestones(responses: list[Any], expected: list[Any]) -> list[Any]:
    """The first and the last answer; those between have to be expected ones in order."""
    last = next(iter(responses[-1].values()))["stats"] if responses else None
    between = [
        one
        for one in responses[1:-1]
        if one not in expected and next(iter(one.values()))["stats"] != last
    ]
    return [*responses[:1], *between, *responses[1:][-1:]]


def _undo_wording(case: Case, expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    if not expected["error"] or not actual["error"] or expected["error"] == actual["error"]:
        return False
    expected["error"] = actual["error"]
    return True


def _undo_no_last_answer(case: Case, expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    """Expect a last answer where a recording that had begun ended by an error."""
    began = bool(case["responses"]) and case["error"] is not None
    if not began or "cancel" in case["steps"][-1]:
        return False
    last = case["responses"][-1]["running"]["stats"]
    path = f"{{STORAGE}}/{case['files'][0]['name']}"
    stopped = {"stats": last, "filesink": {"file_path": path}}
    expected["responses"].append(_normal({"stopped": stopped}))
    return True


def _undo_cut_length(case: Case, expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    """Expect all that one event can carry where more was asked for."""
    start = case["steps"][0].get("send", {}).get("start", {})
    if start.get("max_capture_length", 0) < 1 << 16 or not expected["installed"]:
        return False
    expected["installed"] = {**expected["installed"], "cap_len": 0}
    return True


def _undo_left_file(case: Case, expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    if case["responses"] or not expected["files"]:
        return False
    expected["files"] = []
    return True


def _undo_long_packet(case: Case, expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    """Expect packets to be cut where the kernel gave more of them than was asked for."""
    start = case["steps"][0].get("send", {}).get("start", {})
    most = start.get("max_capture_length", 0)
    files = [one["bytes"] for one in expected["files"]]
    cut = [_cut_file(one, most) for one in files] if most else files
    if cut == files:
        return False
    for one, raw in zip(expected["files"], cut, strict=True):
        one["bytes"] = raw
    for response in expected["responses"]:
        stats = next(iter(response.values()))["stats"]
        if "bytes_captured" in stats:
            stats["bytes_captured"] = str(most * int(stats["packets_captured"]))
    return True


def _cut_file(text: str, most: int) -> str:
    raw = bytes.fromhex(text)
    cut, position = bytearray(raw[:24]), 24
    while position < len(raw):
        head = struct.unpack_from("<IIII", raw, position)
        position += 16
        kept = min(head[2], most)
        cut += struct.pack("<IIII", *head[:2], kept, head[3]) + raw[position : position + kept]
        position += head[2]
    return cut.hex()


def _undo_cut_protocol(case: Case, expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    """Expect a refusal where a protocol has no number that fits a header."""
    include = case["steps"][0].get("send", {}).get("start", {}).get("include", [])
    if not any(isinstance(one.get("protocol"), int) and one["protocol"] > 255 for one in include):
        return False
    if actual["error"] is None:
        return False
    expected.update(responses=[], error=actual["error"], installed=None, files=[])
    return True


_UNDO = {
    Defect.CUT_PROTOCOL: _undo_cut_protocol,
    Defect.WORDING: _undo_wording,
    Defect.NO_LAST_ANSWER: _undo_no_last_answer,
    Defect.CUT_LENGTH: _undo_cut_length,
    Defect.LEFT_FILE: _undo_left_file,
    Defect.LONG_PACKET: _undo_long_packet,
}


def _statistics(response: recorder_pb2.RecordResponse) -> recorder_pb2.RecordingStatistics:
    return response.stopped.stats if response.HasField("stopped") else response.running.stats


def _told(response: recorder_pb2.RecordResponse, storage: Path) -> Any:
    response.ClearField("time")
    response.ClearField("node_name")
    told = json_format.MessageToDict(response, preserving_proto_field_name=True)
    sink = told.get("stopped", {}).get("filesink")
    if sink:
        folder, _, name = sink["file_path"].rpartition("/")
        sink["file_path"] = f"{folder.replace(str(storage), '{STORAGE}')}/{_pattern(name)}"
    return _normal(told)


def _normal(told: dict[str, Any]) -> Any:
    """The same whether counts of zero are told or not."""
    (kind, content), *_ = told.items()
    return {kind: {**content, "stats": {**content.get("stats", {})}}}


def _pattern(name: str) -> str:
    found = _NAME.fullmatch(name)
    return f"{found['prefix']}_{{UNIX}}_{{RANDOM}}_{found['rest']}" if found else name


def _files(storage: Path) -> list[dict[str, str]]:
    """The capture files; what palomar keeps beside them is its own."""
    return [
        {
            "name": _pattern(path.name),
            "mode": f"{path.stat().st_mode & 0o777:04o}",
            "bytes": path.read_bytes().hex(),
        }
        for path in sorted(storage.glob("*"))
        if path.suffix != ".json" and not path.name.startswith(".")
    ]


def _told_length(snaplen_bytes: int) -> int | str:
    return snaplen_bytes if 0 < snaplen_bytes < PACKET_SNAPLEN_BYTES_MAX else "all"


def _count_covered(wanted: list[dict[str, Any]], installed: dict[str, Any]) -> None:
    """Take filters that are wanted for installed where they are, by one for all protocols."""
    rules = installed["filters"]
    covered = [one for one in wanted if one in rules or {**one, "protocol": 0} in rules]
    installed["filters"] = covered + [rule for rule in rules if rule not in wanted]


def _told_rule(rule: CaptureRule) -> dict[str, Any]:
    (source,), (destination,) = rule.sources, rule.destinations
    return {
        "source": str(source),
        "source_port": next(iter(rule.source_ports), 0),
        "destination": str(destination),
        "destination_port": next(iter(rule.destination_ports), 0),
        "protocol": next(iter(rule.protocols), 0),
    }
