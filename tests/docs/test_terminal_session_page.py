"""The page of the terminal session shows what the commands print."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_terminal_session_is_fresh() -> None:
    recorder = runpy.run_path(str(DOCS / "record_terminal_session.py"))
    page = (DOCS / "terminal-session.md").read_text(encoding="utf-8")
    assert page == recorder["terminal_session_page"](), "run python docs/generate.py"
