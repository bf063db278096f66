"""The worked examples of docs/flow-batches.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from palomar.testing import FakeObserver, make_response

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "flow-batches.md"
RESUMING, PORTAL = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
FLOWS = [make_response(Summary=str(number)) for number in range(4)]


@pytest.fixture
def portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(PORTAL, PAGE, "exec"), names)  # noqa: S102 - the code of our own page
    yield names
    names["database"].close()


def test_the_reader_goes_on_where_it_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeObserver(FLOWS) as server:
        code = RESUMING.replace("unix:/run/palomar/palomar.sock", server.target)
        exec(compile(code, PAGE, "exec"), {"enough": lambda: True})  # noqa: S102 - the code of our own page
    assert capsys.readouterr().out.split() == ["0", "1", "2", "3"]


def test_the_portal_keeps_each_flow_once(portal: dict[str, Any]) -> None:
    with FakeObserver(FLOWS) as server:
        portal["read"](server.target)
        portal["read"](server.target)
    rows = portal["database"].execute("SELECT run, sequence FROM flow").fetchall()
    assert rows == [("1", number) for number in range(4)]
    assert server.requests[1].HasField("extensions")
