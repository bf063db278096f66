"""What counts when a run of the command line is held against a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palomar_proto.observer.observer_pb2 import GetFlowsRequest
from tests.conformance.cli_cases import (
    ERROR_WORDING,
    HELP_TEXT,
    UNSAFE_TEXT,
    WARNING_WORDING,
    Worker,
    compare,
)
from tests.conformance.cli_server import canonical_request, from_message, to_message

if TYPE_CHECKING:
    from pathlib import Path

CASE: dict[str, Any] = {
    "argv": [],
    "env": {},
    "exit": 0,
    "stdout": "",
    "stderr": "",
    "stdin_file": None,
}


def differs(expected: dict[str, Any], actual: dict[str, Any]) -> bool:
    result = {"exit": 0, "stdout": "", "stderr": ""} | actual
    comparison = compare(CASE | expected, result)
    return comparison.expected != comparison.actual


def defects(expected: dict[str, Any], actual: dict[str, Any]) -> tuple[str, ...]:
    return compare(CASE | expected, {"exit": 0, "stdout": "", "stderr": ""} | actual).defects


def test_json_lines_are_compared_as_json_and_others_as_text() -> None:
    assert not differs({"stdout": '{"a":1,"b":2}\n'}, {"stdout": '{"b": 2, "a": 1}\n'})
    assert differs({"stdout": '{"a":1}\n'}, {"stdout": '{"a":2}\n'})
    assert differs({"stdout": "a  b\n"}, {"stdout": "a b\n"})
    assert differs({"stdout": "a\n"}, {"stdout": "a"})


def test_an_error_has_to_be_told_in_whatever_words() -> None:
    expected = {"exit": 1, "stderr": "unknown key: nope\n"}
    assert not differs(expected, {"exit": 1, "stderr": "palomar: there is no key 'nope'\n"})
    assert differs(expected, {"exit": 1})
    assert differs(expected, {"exit": 2, "stderr": "palomar: there is no key 'nope'\n"})
    assert differs(expected, {"exit": 1, "stderr": "Traceback\n"})
    assert defects(expected, {"exit": 1, "stderr": "palomar: no\n"}) == (ERROR_WORDING,)


def test_what_stands_before_an_error_counts() -> None:
    expected = {"exit": 1, "stderr": "1 nodes are unavailable: a\nrpc error\n"}
    said = "1 nodes are unavailable: a\npalomar: no\n"
    assert not differs(expected, {"exit": 1, "stderr": said})
    assert differs(expected, {"exit": 1, "stderr": said.replace(": a", ": b")})


def test_warnings_are_counted() -> None:
    warning = 'time=TIME level=WARN msg="older"\n'
    assert not differs({"stderr": warning}, {"stderr": "palomar: it is older\n"})
    assert differs({"stderr": warning}, {"stderr": ""})
    assert differs({"stderr": ""}, {"stderr": "palomar: it is older\n"})
    assert defects({"stderr": warning}, {"stderr": "palomar: old\n"}) == (WARNING_WORDING,)
    assert not differs({"stderr": warning, "stderr_optional": True}, {})
    assert not differs({"stderr": "time=TIME level=DEBUG x\n"}, {})


def test_a_help_text_is_any_help_text() -> None:
    texts = {"stdout": "Usage:\n  hubble\n"}, {"stdout": "Usage: palomar\n"}
    assert not differs(*texts)
    assert defects(*texts) == (HELP_TEXT,)
    assert differs(texts[0], {"stdout": "palomar\n"})


def test_control_characters_may_be_written_out_and_nothing_else_differ() -> None:
    raw = {"stdout": "A   B\nx\x1b[31m\ny   z\n"}
    written = {"stdout": "A    B\nx^[[31m\\ny   z\n"}
    assert not differs(raw, written)
    assert defects(raw, written) == (UNSAFE_TEXT,)
    assert differs(raw, {"stdout": written["stdout"].replace("z", "w")})
    assert differs({"stdout": "A   B\n"}, {"stdout": "A    B\n"})


def test_requests_and_files_count() -> None:
    requests = [{"method": "GetFlows", "request": {"number": "20"}}]
    assert not differs({"requests": requests}, {"requests": requests})
    assert differs({"requests": requests}, {"requests": []})
    assert differs({"files_after": {"a": "1"}}, {"files_after": {}})


def test_a_field_mask_keeps_paths_that_json_has_no_form_for() -> None:
    request = to_message({"number": "1", "field_mask": {"paths": ["IP"]}}, GetFlowsRequest())
    content = {"number": "1", "field_mask": {"paths": ["IP"]}}
    assert from_message(request) == content
    entry = {"method": "GetFlows", "request": content | {"follow": False}}
    assert canonical_request(entry) == {"method": "GetFlows", "request": content}


def test_a_case_runs_in_a_process_of_its_own_with_its_environment(tmp_path: Path) -> None:
    (tmp_path / "flows.jsonl").write_text("", encoding="utf-8")
    worker = Worker(tmp_path)
    case = CASE | {"argv": ["observe", "--input-file", "{DIR}/nope.jsonl"]}
    result = worker.run(case)
    assert result["exit"] == 1
    assert result["stderr"].startswith("palomar: ")
    assert "{DIR}/nope.jsonl" in result["stderr"]
    worker.close()
