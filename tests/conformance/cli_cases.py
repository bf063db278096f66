"""Runs cases of cli/cases.jsonl: the command line with the habits of `hubble`.

What is said in words is palomar's own, by rules: such lines count, their wording does not. The
program itself runs in `cli_worker`, against the server of `cli_server`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

from tests.conformance.cli_server import canonical_request
from tests.conformance.corpus import Case, Comparison, Run

ROOT = Path(__file__).resolve().parents[2]

ERROR_WORDING = "wording of errors"
WARNING_WORDING = "wording of warnings"
HELP_TEXT = "help texts"
UNSAFE_TEXT = "control characters passed through"

_USAGE = "Usage:"
_CONTROL = {"^[": "\x1b", "\\n": "\n", "\\r": "\r", "\\t": "\t"} | {
    f"\\x{code:02x}": chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))
}
_WRITTEN_OUT = re.compile("|".join(map(re.escape, _CONTROL)))
_OWN_WARNING = "palomar: "
_OWN_ERROR = (_OWN_WARNING, "Usage: palomar", "Try 'palomar", "Error: ")
_HUBBLE_LOG = "time=TIME level="


class Worker:
    """The process that runs the cases; ends with its standard input, and with this object."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.cli_worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=ROOT,
        )
        self.close = weakref.finalize(self, self._process.communicate)

    def run(self, case: Case) -> dict[str, Any]:
        """What came of a case.

        Raises:
            RuntimeError: the worker could not run it.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        result: dict[str, Any] = json.loads(line) if line else {"broken": "the worker has ended"}
        if "broken" in result:
            raise RuntimeError(result["broken"])
        return result


def prepare(folder: Path) -> Run:
    """Start what runs the cases; they read the files beside cases.jsonl."""
    worker = Worker((folder / "cli").resolve())
    return lambda case: compare(case, worker.run(case))


def compare(case: Case, result: dict[str, Any]) -> Comparison:
    """Lay a case beside what came of it, without the wordings that are palomar's own."""
    expected: dict[str, Any] = {"exit": case["exit"]}
    actual: dict[str, Any] = {"exit": result["exit"]}
    defects: set[str] = set()
    expected["stdout"], actual["stdout"] = _outputs(
        _text(case, "stdout"), result["stdout"], defects
    )
    expected["stderr"], actual["stderr"] = _messages(case, result, defects)
    if "requests" in case:
        expected["requests"] = [canonical_request(one) for one in case["requests"]]
        actual["requests"] = result.get("requests")
    if "files_after" in case:
        expected["files_after"] = case["files_after"]
        actual["files_after"] = result["files_after"]
    return Comparison(expected, actual, tuple(sorted(defects)))


def _text(case: Case, name: str) -> str:
    if f"{name}_hex" in case:
        return bytes.fromhex(case[f"{name}_hex"]).decode("utf-8", "backslashreplace")
    return str(case[name])


def _outputs(expected: str, actual: str, defects: set[str]) -> tuple[object, object]:
    if _USAGE in expected and _USAGE in actual:
        defects.add(HELP_TEXT)
        return HELP_TEXT, HELP_TEXT
    if expected == actual:
        return [], []
    found = _parsed(expected), _parsed(actual)
    if found[0] == found[1]:
        return found
    raw = _raw(actual)
    if raw != _blanks(actual) and raw == _raw(expected):
        # Only what is written out differs, and with it the widths of columns.
        defects.add(UNSAFE_TEXT)
        return UNSAFE_TEXT, UNSAFE_TEXT
    return found


def _raw(text: str) -> str:
    """A text with the control characters that are written out in it, and blanks of any number."""
    return _blanks(_WRITTEN_OUT.sub(lambda found: _CONTROL[found[0]], text))


def _blanks(text: str) -> str:
    return re.sub(" {2,}", "  ", text)


def _parsed(text: str) -> list[object]:
    """The lines, those that are JSON read as such."""
    return [_line(line) for line in text.split("\n")]


def _line(line: str) -> object:
    if not line.startswith("{"):
        return line
    try:
        return json.loads(line)
    except ValueError:
        return line


def _messages(case: Case, result: dict[str, Any], defects: set[str]) -> tuple[object, object]:
    expected = _without_debug(_text(case, "stderr"))
    actual = _without_debug(result["stderr"])
    if expected == actual or (case.get("stderr_optional") and not actual):
        return [], []
    if case["exit"] and result["exit"]:
        # What stood before the error is looked at; the error itself is in palomar's words.
        said = [line for line in actual if line and not line.startswith(_OWN_ERROR)]
        if len(said) < len(actual):
            defects.add(ERROR_WORDING)
            before = expected[: len(said)]
            return [_line(one) for one in before], [_line(one) for one in said]
    heard = [_warning(line, defects) for line in expected]
    return heard, [_warning(line, defects) for line in actual]


def _warning(line: str, defects: set[str]) -> object:
    if line.startswith((_HUBBLE_LOG, _OWN_WARNING)):
        defects.add(WARNING_WORDING)
        return WARNING_WORDING
    return _line(line)


def _without_debug(text: str) -> list[str]:
    lines = text.replace("\xa0", " ").splitlines()
    return [line for line in lines if "level=DEBUG" not in line]
