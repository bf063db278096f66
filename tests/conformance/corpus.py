"""Case files, how each of their cases is run, and what came of it.

A corpus is a folder of JSON Lines files, one case a line with a `name`. What runs the cases of a
file is a `Suite`; `suites.py` lists them. A case has an expected and an actual value, both plain
JSON, and passes if they are equal. One that differs, and for which there is a rule in
`docs/deliberate-differences.yaml`, is deliberate. So is one that only is equal without certain
defects of the original, if there are rules that name them. One that raises has failed, whatever the
rules say.
"""

from __future__ import annotations

import enum
import json
import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.conformance.deliberate import Rule

Case: TypeAlias = dict[str, Any]
"""One line of a case file; the corpus' README describes its keys."""


class CorpusError(Exception):
    """A folder or a case file cannot be used; says which and why."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What should have come out, and what did."""

    expected: object
    actual: object
    defects: tuple[str, ...] = ()
    """Defects of the original that were taken out of the comparison: rules have to name them."""


Run: TypeAlias = "Callable[[Case], Comparison]"
"""Runs one case through palomar."""


@dataclass(frozen=True, slots=True)
class Suite:
    """How the cases of one file are run.

    Args:
        file: the case file, relative to the corpus.
        prepare: reads what the cases share, from the corpus' folder, and gives what runs one.
        covers: which cases can be run yet; those that cannot are named in `uncovered`.
        uncovered: what the others are, in a few words.
    """

    file: str
    prepare: Callable[[Path], Run]
    covers: Callable[[Case], bool] = lambda _: True
    uncovered: str = ""


class Verdict(enum.Enum):
    """What became of a case."""

    PASSED = enum.auto()
    FAILED = enum.auto()
    DELIBERATE = enum.auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case that was run."""

    name: str
    verdict: Verdict
    comparison: Comparison
    error: str = ""
    """The traceback, where it raised."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of the cases of a file."""

    file: str
    outcomes: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader of the counts should know besides."""

    def count(self, verdict: Verdict) -> int:
        """How many cases ended so."""
        return Counter(outcome.verdict for outcome in self.outcomes)[verdict]

    @property
    def failures(self) -> list[Outcome]:
        """The failed cases, in the order of the file."""
        return [outcome for outcome in self.outcomes if outcome.verdict is Verdict.FAILED]

    @property
    def good(self) -> bool:
        """Whether there were cases and none failed."""
        return bool(self.outcomes) and not self.failures


def read_cases(path: Path) -> Iterator[Case]:
    """The cases of a file in its order.

    Raises:
        CorpusError: a line is no case, or a name comes twice; names file and line.
    """
    seen: set[str] = set()
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                case = json.loads(line)
                name = case["name"]
            except (ValueError, TypeError, KeyError) as error:
                raise CorpusError(
                    f"{path}, line {number}: not a case: {type(error).__name__}: {error}"
                ) from error
            if name in seen:
                raise CorpusError(f"{path}, line {number}: a second case is named {name}")
            seen.add(name)
            yield case


def run_file(
    folder: Path, suite: Suite, rules: Sequence[Rule] = (), only: str = "*"
) -> FileReport | None:
    """Run the cases of one file.

    Args:
        folder: the corpus.
        suite: the file and what runs its cases.
        rules: the deliberate differences of all files.
        only: a glob; other names are passed over.

    Returns:
        None if the corpus has no such file.

    Raises:
        CorpusError: the file is broken.
    """
    path = folder / suite.file
    if not path.exists():
        return None
    report = FileReport(suite.file)
    cases = [case for case in read_cases(path) if fnmatchcase(case["name"], only)]
    covered = [case for case in cases if suite.covers(case)]
    if not covered and only == "*":
        report.notes.append("no case could be run" if cases else "the file is empty")
    if len(covered) < len(cases):
        report.notes.append(f"{len(cases) - len(covered)} cases not run: {suite.uncovered}")
    own = [rule for rule in rules if rule.file == suite.file]
    run = _prepared(suite, folder)
    for case in covered:
        report.outcomes.append(_run_case(case, run, own))
    if only == "*":
        names = [case["name"] for case in cases]
        report.notes.extend(
            f"the rule {rule.cases!r} of deliberate differences matches no case"
            for rule in own
            if not any(map(rule.matches, names))
        )
    return report


def judged(report: FileReport, rules: Sequence[Rule]) -> FileReport:
    """The same cases, run once, by other rules."""
    own = [rule for rule in rules if rule.file == report.file]
    outcomes = [
        one if one.error else replace(one, verdict=_verdict(one.name, one.comparison, own))
        for one in report.outcomes
    ]
    return FileReport(report.file, outcomes, report.notes)


def _prepared(suite: Suite, folder: Path) -> Run:
    """What runs a case; if that cannot be made, something that says so for every case."""
    try:
        return suite.prepare(folder)
    except Exception as error:  # noqa: BLE001 - whatever it was: the cases have failed, not the runner
        reason = error

        def fail(_: Case) -> Comparison:
            raise reason

        return fail


def _run_case(case: Case, run: Run, rules: Sequence[Rule]) -> Outcome:
    name = case["name"]
    try:
        comparison = run(case)
    except Exception as error:  # noqa: BLE001 - a case that raises is a failed case
        text = "".join(traceback.format_exception(error))
        raised = f"{type(error).__name__}: {error}"
        nothing = Comparison(case.get("expect"), {"raised": raised})
        return Outcome(name, Verdict.FAILED, nothing, text)
    return Outcome(name, _verdict(name, comparison, rules), comparison)


def _verdict(name: str, comparison: Comparison, rules: Sequence[Rule]) -> Verdict:
    matching = [rule for rule in rules if rule.matches(name)]
    if comparison.expected != comparison.actual:
        excused = any(not rule.defect for rule in matching)
        return Verdict.DELIBERATE if excused else Verdict.FAILED
    if not comparison.defects:
        return Verdict.PASSED
    excused = {rule.defect for rule in matching}.issuperset(comparison.defects)
    return Verdict.DELIBERATE if excused else Verdict.FAILED
