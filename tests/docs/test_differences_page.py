"""The page of deliberate differences says what their file says."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_differences_page_is_fresh() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    page = (DOCS / "deliberate-differences.md").read_text()
    assert page == generate["differences_page"](), "run python docs/generate.py"


def test_a_rule_is_a_row(tmp_path: Path) -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "- file: a.jsonl\n  cases: b/*\n  reason: |\n    one\n    two\n  instead: 'x | y'\n"
    )
    generate["differences_page"].__globals__["RULES"] = rules
    page = generate["differences_page"]()
    assert page.endswith("| `a.jsonl`: `b/*` | one two | x \\| y |\n")
