"""The corpus beside the checkout, run as `make conformance` runs it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from tests.conformance.corpus import FileReport, Suite, judged, run_file
from tests.conformance.deliberate import read_rules
from tests.conformance.report import counts, failure
from tests.conformance.suites import SUITES

if TYPE_CHECKING:
    from pathlib import Path


@functools.cache
def run_once(folder: Path, suite: Suite) -> FileReport:
    """The cases of a file without any rule; some files take half a minute."""
    report = run_file(folder / "conformance", suite)
    assert report is not None
    return report


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.file)
def test_palomar_does_what_hubble_does(shared: Path, suite: Suite) -> None:
    report = judged(run_once(shared, suite), read_rules())
    shown = [counts(report), *(failure(report.file, one) for one in report.failures[:10])]
    assert report.good, "\n".join(shown)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.file)
def test_every_rule_of_deliberate_differences_is_needed(shared: Path, suite: Suite) -> None:
    rules = [rule for rule in read_rules() if rule.file == suite.file]
    for rule in rules:
        others = [one for one in rules if one is not rule]
        report = judged(run_once(shared, suite), others)
        assert any(rule.matches(one.name) for one in report.failures), rule


def test_every_rule_is_about_a_file_that_is_run() -> None:
    files = {suite.file for suite in SUITES}
    assert [rule for rule in read_rules() if rule.file not in files] == []
