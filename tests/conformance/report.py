"""What a run of the corpus looks like on the terminal."""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.conformance.corpus import FileReport, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CONTEXT_LINES = 3
_PATHS_MAX = 6


def counts(report: FileReport) -> str:
    """The one line about a file."""
    passed, failed, deliberate = map(
        report.count, (Verdict.PASSED, Verdict.FAILED, Verdict.DELIBERATE)
    )
    return f"{report.file}: {passed} passed, {failed} failed, {deliberate} deliberate"


def failure(file: str, outcome: Outcome) -> str:
    """A failed case: its name, and what was expected beside what came out."""
    comparison = outcome.comparison
    lines = difflib.unified_diff(
        _lines(comparison.expected),
        _lines(comparison.actual),
        "expected",
        "actual",
        n=_CONTEXT_LINES,
        lineterm="",
    )
    return "\n".join((f"\n{file} {outcome.name}", *lines, *outcome.error.splitlines()))


def _lines(value: object) -> list[str]:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).splitlines()


def groups(reports: Sequence[FileReport]) -> Iterator[str]:
    """The failed cases by group and by what differs, most first, with an example of each."""
    for report in reports:
        alike: dict[tuple[str, str], list[str]] = defaultdict(list)
        totals: dict[str, int] = defaultdict(int)
        for outcome in report.outcomes:
            totals[outcome.name.partition("/")[0]] += 1
        for outcome in report.failures:
            paths = sorted(differences(outcome.comparison.expected, outcome.comparison.actual))
            more = [f"… {len(paths) - _PATHS_MAX} more"] if len(paths) > _PATHS_MAX else []
            key = outcome.name.partition("/")[0], ", ".join(paths[:_PATHS_MAX] + more)
            alike[key].append(outcome.name)
        for (group, what), names in sorted(alike.items(), key=lambda item: -len(item[1])):
            yield f"{report.file} {group}: {len(names)} of {totals[group]}, as {names[0]}: {what}"


def differences(expected: object, actual: object, path: str = "") -> Iterator[str]:
    """Where two JSON values differ: `+path` is only in the actual one, `-path` is missing there."""
    if expected == actual:
        return
    if isinstance(actual, dict) and "raised" in actual:
        yield str(actual["raised"])
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key in expected.keys() | actual.keys():
            inner = f"{path}.{key}" if path else key
            if key not in actual:
                yield f"-{inner}"
            elif key not in expected:
                yield f"+{inner}"
            else:
                yield from differences(expected[key], actual[key], inner)
    else:
        yield path or "all"
