"""What docs/explain.md and docs/portal-queries.md say: their Python and their commands run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from palomar.cli import cli
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.explanation_pb2 import ExplainResponse
from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse, Hint
from palomar_proto.palomar.v1.summary_pb2 import SummarizeResponse, SummaryGroup

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("explain.md", "portal-queries.md")
EXPLAIN = (DOCS / "explain.md").read_text(encoding="utf-8")


@pytest.fixture
def server() -> FakeObserver:
    return FakeObserver(
        hints=FilterHintsResponse(hints=[Hint(value="shop/web-0", flows=7)]),
        summary=SummarizeResponse(groups=[SummaryGroup(values=["web", "shop/db", "OTHER"])]),
        explanation=ExplainResponse(headline="the headline", check_next=["the rules"]),
    )


@pytest.mark.parametrize(
    ("page", "printed"),
    [("explain.md", "the headline\n- the rules"), ("portal-queries.md", "shop/web-0")],
)
def test_every_block_runs(
    page: str, printed: str, server: FakeObserver, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    with server:
        for block in blocks:
            code = block.replace("unix:/run/palomar/palomar.sock", server.target)
            exec(compile(code, DOCS / page, "exec"), names)  # noqa: S102 - the code of our own page
    assert capsys.readouterr().out.count(printed) == len(
        [block for block in blocks if "xplain" in block or "ints" in block]
    )


def test_commands_of_explain_are_those_there_are(server: FakeObserver) -> None:
    commands = re.findall(r"^\$ palomar (.*)$", EXPLAIN, re.MULTILINE)
    assert commands
    with server:
        for command in commands:
            words = [*shlex.split(command, comments=True), "--server", server.target]
            assert CliRunner().invoke(cli, words).exit_code == 0


@pytest.mark.parametrize("page", PAGES)
def test_their_links_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([^)#]+\.md)\)", text):
        assert (DOCS / name).exists(), name
