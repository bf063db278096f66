import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from palomar import input_file
from palomar.errors import InvalidRequest, Unsupported
from palomar.input_file import InputFileError, read_responses
from palomar.requests import NUMBER_MAX
from palomar_proto.flow import flow_pb2
from palomar_proto.flow.flow_pb2 import DROPPED, EventTypeFilter, FlowFilter
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse

LOSS = {"lost_events": {"num_events_lost": "5", "last": "2024-03-05T10:20:09Z"}}
NODES = {"node_status": {"state_change": "NODE_GONE"}}
DROPS = FlowFilter(verdict=[DROPPED])


def flow(second: int, **fields: object) -> dict[str, Any]:
    time = f"2024-03-05T10:20:{second:02}Z"
    return {"flow": {"uuid": f"u{second}", "time": time, **fields}, "time": time}


def at(second: int) -> Timestamp:
    time = Timestamp()
    time.FromJsonString(f"2024-03-05T10:20:{second:02}Z")
    return time


class File:
    """A file of lines, and what reading it gives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []

    def write(self, *lines: object) -> None:
        texts = (
            line
            if isinstance(line, bytes)
            else (line if isinstance(line, str) else json.dumps(line)).encode()
            for line in lines
        )
        self.path.write_bytes(b"".join(text + b"\n" for text in texts))

    def responses(
        self, *, strict: bool = False, request: GetFlowsRequest | None = None, **request_fields: Any
    ) -> Iterator[GetFlowsResponse]:
        asked = request or GetFlowsRequest(**request_fields)
        return read_responses(str(self.path), asked, strict=strict, warn=self.warnings.append)

    def read(self, **keywords: Any) -> list[str]:
        """What is read, each by its uuid or else by its kind."""
        return [
            response.flow.uuid or str(response.WhichOneof("response_types"))
            for response in self.responses(**keywords)
        ]


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "flows.jsonl")


@pytest.fixture(params=[True, False], ids=["strict", "forgiving"])
def strict(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize(
    ("request_fields", "read"),
    [
        ({}, ["u3", "lost_events", "u1", "node_status", "u2"]),
        ({"number": NUMBER_MAX}, ["u3", "lost_events", "u1", "node_status", "u2"]),
        ({"number": NUMBER_MAX, "first": True}, ["u3", "lost_events", "u1", "node_status", "u2"]),
        ({"number": 0, "first": True}, ["u3", "lost_events", "u1", "node_status", "u2"]),
        ({"number": 2}, ["node_status", "u2"]),
        ({"number": 9}, ["u3", "lost_events", "u1", "node_status", "u2"]),
        ({"number": 2, "first": True}, ["u3", "lost_events"]),
        ({"number": 2, "follow": True}, ["node_status", "u2"]),
    ],
)
def test_number_of_responses(
    file: File, *, strict: bool, request_fields: dict[str, Any], read: list[str]
) -> None:
    file.write(flow(3), LOSS, flow(1), NODES, flow(2))
    assert file.read(strict=strict, **request_fields) == read
    assert file.warnings == []


def test_a_response_is_the_line(file: File) -> None:
    line = flow(1, verdict="DROPPED", source={"identity": 7}) | {"node_name": "a/b"}
    file.write(line)
    (response,) = file.responses()
    assert response.flow.verdict == DROPPED
    assert response.flow.source.identity == 7
    assert response.node_name == "a/b"
    assert response.time == at(1)


def test_filters_take_and_leave_out(file: File, *, strict: bool) -> None:
    file.write(*(flow(second, verdict="DROPPED" if second % 2 else "AUDIT") for second in range(6)))
    assert file.read(strict=strict, whitelist=[DROPS]) == ["u1", "u3", "u5"]
    assert file.read(strict=strict, blacklist=[DROPS]) == ["u0", "u2", "u4"]
    assert file.read(strict=strict, whitelist=[DROPS], number=2) == ["u3", "u5"]
    assert file.read(strict=strict, whitelist=[DROPS], number=2, first=True) == ["u1", "u3"]


def test_since_and_until_include_their_ends(file: File, *, strict: bool) -> None:
    file.write(*map(flow, range(6)))
    assert file.read(strict=strict, since=at(2), until=at(4)) == ["u2", "u3", "u4"]


def test_strict_filters_judge_every_response_as_a_flow(file: File) -> None:
    file.write(LOSS, NODES, flow(1, event_type={"type": 1}))
    any_type = FlowFilter(event_type=[EventTypeFilter(type=1)])
    assert file.read(strict=True, whitelist=[any_type]) == ["u1"]
    assert file.read(strict=True, blacklist=[any_type]) == ["lost_events", "node_status"]
    assert file.read(strict=True, blacklist=[FlowFilter()]) == []
    no_ip = FlowFilter(ip_version=[flow_pb2.IP_NOT_USED])
    assert file.read(strict=True, whitelist=[no_ip]) == ["u1"]
    assert file.read(strict=True, whitelist=[no_ip, FlowFilter()]) == [
        "lost_events",
        "node_status",
        "u1",
    ]


def test_loss_notices_and_node_states_pass_all_filters(file: File) -> None:
    file.write(LOSS, NODES, flow(1))
    assert file.read(whitelist=[DROPS]) == ["lost_events", "node_status"]
    assert file.read(blacklist=[FlowFilter()]) == ["lost_events", "node_status"]


def test_time_of_a_response_is_that_of_its_flow_where_it_has_none(file: File) -> None:
    file.write({"flow": flow(3)["flow"]}, LOSS, {"flow": {"uuid": "timeless"}})
    assert file.read(since=at(2)) == ["u3", "lost_events"]
    assert file.read(since=at(5)) == ["lost_events"]
    assert file.read(until=at(5)) == ["u3", "timeless"]
    assert file.read(strict=True, since=at(2)) == []
    assert file.read(strict=True, until=at(2)) == ["u3", "lost_events", "timeless"]


def test_more_than_memory_has_for_are_refused_at_once(file: File, *, strict: bool) -> None:
    with pytest.raises(InvalidRequest, match="1000001 of a file is over 1000000; "):
        file.responses(strict=strict, number=1_000_001)
    file.write(flow(1))
    assert file.read(strict=strict, number=1_000_000) == ["u1"]
    assert file.read(strict=strict, number=1_000_001, first=True) == ["u1"]


def test_a_wrong_filter_is_refused_at_once(file: File, *, strict: bool) -> None:
    with pytest.raises(InvalidRequest, match="invalid filter source_ip: 'bad' "):
        file.responses(strict=strict, whitelist=[FlowFilter(source_ip=["bad"])])


@pytest.mark.parametrize(
    ("module", "one"),
    [
        ("re2", FlowFilter(http_path=["^/a"])),
        (
            "cel_expr_python",
            FlowFilter(experimental=FlowFilter.Experimental(cel_expression=["true"])),
        ),
    ],
)
def test_a_filter_says_what_to_install(
    file: File, monkeypatch: pytest.MonkeyPatch, module: str, one: FlowFilter
) -> None:
    for loaded in [name for name in sys.modules if name.endswith("cel_runtime")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unsupported, match=rf"{module} .*: pip install 'palomar\[filters\]'$"):
        file.responses(whitelist=[one])


def test_unknown_fields_are_told_once(file: File, *, strict: bool) -> None:
    new = {**flow(1), "new": 1}
    file.write(flow(0), new, new, flow(2, newer=True), flow(3, verdict="NEWEST"))
    assert file.read(strict=strict) == ["u0", "u1", "u1", "u2", "u3"]
    (warning,) = file.warnings
    assert warning.startswith("line 2 has an unknown field 'new'; such fields and values are left")


def test_broken_lines_are_told_and_passed_over(file: File) -> None:
    file.write(flow(0), "not json", "", "[1]", {"flow": {"time": "bad"}}, b"\xff\x1b[31m", flow(1))
    assert file.read() == ["u0", "u1"]
    assert [warning.split(" is ")[0] for warning in file.warnings] == [
        "line 2",
        "line 4",
        "line 5",
        "line 6",
    ]
    assert all(warning.isprintable() for warning in file.warnings)
    assert file.warnings[0] == "line 2 is no JSON object: 'not json'; passed over"
    file.warnings.clear()
    assert file.read(strict=True) == ["u0", "u1"]
    assert len(file.warnings) == 5  # the empty line as well


def test_many_broken_lines_are_told_as_one(file: File) -> None:
    file.write(*["broken"] * 8, flow(0), *["broken"] * 3, flow(1))
    assert file.read() == ["u0", "u1"]
    assert len(file.warnings) == 6
    assert file.warnings[-1] == "6 more lines passed over, 11 in all"
    file.warnings.clear()
    assert file.read(number=1, first=True) == ["u0"]
    assert file.warnings[-1] == "3 more lines passed over, 8 in all"
    file.warnings.clear()
    assert file.read(strict=True) == ["u0", "u1"]
    assert len(file.warnings) == 11


def test_the_last_flows_are_looked_for_from_the_end(file: File) -> None:
    file.write("broken", *map(flow, range(3)), "broken as well", flow(3), {**flow(4), "new": 1})
    assert file.read(number=3) == ["u2", "u3", "u4"]
    assert [warning.partition(" from the end ")[0] for warning in file.warnings] == [
        "line 1",
        "line 3",
    ]
    file.warnings.clear()
    assert file.read(number=3, strict=True) == ["u2", "u3", "u4"]
    assert [warning.partition(" is ")[0] for warning in file.warnings[:2]] == ["line 1", "line 5"]


def test_the_last_flows_of_a_pipe_are_looked_for_from_the_beginning(file: File) -> None:
    os.mkfifo(file.path)
    lines = b"".join(json.dumps(flow(second)).encode() + b"\n" for second in range(5))
    writer = threading.Thread(target=file.path.write_bytes, args=(lines,))
    writer.start()
    assert file.read(number=2) == ["u3", "u4"]
    writer.join()


def test_bare_flows_are_understood(file: File) -> None:
    bare = {**flow(2, verdict="DROPPED")["flow"], "node_name": "a/b"}
    file.write(bare, {**bare, "new": 1}, bare, {"agent_event": {}, "time": bare["time"]})
    *responses, other = file.responses()
    assert (
        responses
        == [
            GetFlowsResponse(
                flow=flow_pb2.Flow(uuid="u2", time=at(2), verdict=DROPPED, node_name="a/b"),
                node_name="a/b",
                time=at(2),
            )
        ]
        * 3
    )
    assert other == GetFlowsResponse(time=at(2))
    assert len(file.warnings) == 1
    assert [item.WhichOneof("response_types") for item in file.responses(strict=True)] == [None] * 4


@pytest.mark.parametrize(("length", "fits"), [(65_535, True), (65_536, False)])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_strict_lines_have_the_length_that_hubble_reads(
    file: File, *, length: int, fits: bool, end: bytes
) -> None:
    head = b'{"flow":{"uuid":"long"},"node_name":"'
    line = head + b"x" * (length - len(head) - 2) + b'"}'
    assert len(line) == length
    file.path.write_bytes(json.dumps(flow(1)).encode() + b"\n" + line + end)
    assert file.read() == ["u1", "long"]
    if fits:
        assert file.read(strict=True) == ["u1", "long"]
        return
    responses = file.responses(strict=True)
    assert next(responses).flow.uuid == "u1"
    with pytest.raises(InputFileError, match="line 2 is over 65535 bytes"):
        next(responses)
    with pytest.raises(InputFileError, match="line 2 is over 65535 bytes"):
        file.read(strict=True, number=1)
    assert file.read(strict=True, number=1, first=True) == ["u1"]


def test_a_line_without_end_takes_bounded_memory(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_file, "LINE_BYTES_MAX", 1 << 20)
    file.write(flow(1), b"x" * (5 << 20), flow(2), b"y" * (3 << 20))
    assert file.read() == ["u1", "u2"]
    assert file.warnings == [
        "line 2 is over 1 MiB long; passed over",
        "line 4 is over 1 MiB long; passed over",
    ]


def test_ends_of_lines_may_be_those_of_windows_or_missing(file: File, *, strict: bool) -> None:
    file.path.write_bytes(b'{"flow":{"uuid":"a"}}\r\n{"flow":{"uuid":"b"}}')
    assert file.read(strict=strict) == ["a", "b"]
    assert file.warnings == []


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_file_has_no_flows(file: File, content: bytes) -> None:
    file.path.write_bytes(content)
    assert file.read() == []
    assert file.read(number=5) == []
    assert file.warnings == []


def test_a_file_that_cannot_be_read_is_named(file: File, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"cannot read .*flows\.jsonl: No such file"):
        file.read()
    with pytest.raises(InputFileError, match=r"cannot read .*: Is a directory; name a file"):
        next(
            read_responses(str(tmp_path), GetFlowsRequest(), strict=True, warn=file.warnings.append)
        )


def test_standard_input_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_standard_input() -> Iterator[GetFlowsResponse]:
        return read_responses("-", GetFlowsRequest(), strict=False, warn=print)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(flow(1)).encode())))
    assert [response.flow.uuid for response in from_standard_input()] == ["u1"]
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputFileError, match="standard input: it is closed"):
        next(from_standard_input())


def test_recorded_flows_are_read_whole(
    shared: Path, recorded: Callable[[str], list[GetFlowsResponse]], *, strict: bool
) -> None:
    for name in ("flows.jsonl", "special.jsonl"):
        path = str(shared / "conformance" / "cli" / name)
        warnings: list[str] = []
        responses = read_responses(path, GetFlowsRequest(), strict=strict, warn=warnings.append)
        assert list(responses) == recorded(name)
        assert warnings == []
