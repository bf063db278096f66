"""Run the corpus: `make conformance`.

Prints a line of counts per case file, then the failed cases with what was expected beside what came
out. Exits 1 if any failed, 2 if there is nothing to run.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.conformance.corpus import CorpusError, FileReport, run_file
from tests.conformance.deliberate import RULES, read_rules
from tests.conformance.report import counts, failure, groups
from tests.conformance.suites import SUITES

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT.parent / "shared" / "conformance"
ENVIRONMENT = "PALOMAR_CONFORMANCE_DIR"


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("--only", default="*", metavar="GLOB", help="run cases of such names only")
    parser.add_argument("--groups", action="store_true", help="sum up the failures by what differs")
    options = parser.parse_args(arguments)
    folder = Path(os.environ.get(ENVIRONMENT) or DEFAULT)
    if not folder.is_dir():
        _note(f"no folder {folder}; set {ENVIRONMENT} to a corpus")
        return 2
    try:
        rules = read_rules(RULES)
        found = {suite.file: run_file(folder, suite, rules, options.only) for suite in SUITES}
    except (CorpusError, ValueError) as error:
        _note(str(error))
        return 2
    reports = [report for report in found.values() if report is not None]
    _write(reports, by_group=options.groups)
    for file, report in found.items():
        for note in ["not in this corpus"] if report is None else report.notes:
            _note(f"{file}: {note}")
    if not reports:
        _note(f"{folder} has none of the case files")
        return 2
    # Of a choice of cases a file may have none.
    chosen = [report for report in reports if report.outcomes or options.only == "*"]
    return 0 if chosen and all(report.good for report in chosen) else 1


def _write(reports: list[FileReport], *, by_group: bool) -> None:
    lines = [counts(report) for report in reports]
    if by_group:
        lines += groups(reports)
    else:
        lines += [failure(report.file, one) for report in reports for one in report.failures]
    sys.stdout.write("\n".join(lines) + "\n")


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
