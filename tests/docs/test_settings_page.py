"""Pages that come from the code say what the code says."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_settings_page_is_fresh() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    page = (DOCS / "settings.md").read_text()
    assert page == generate["settings_page"](), "run python docs/generate.py"
