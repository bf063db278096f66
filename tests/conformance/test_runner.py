"""The runner itself, on small folders made up here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conformance import __main__ as program
from tests.conformance.corpus import (
    Case,
    Comparison,
    CorpusError,
    Run,
    Suite,
    Verdict,
    read_cases,
    run_file,
)
from tests.conformance.deliberate import Rule, RuleError, read_rules
from tests.conformance.report import counts, differences, failure, groups

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def prepare(_: Path) -> Run:
    def run(case: Case) -> Comparison:
        return Comparison(case["expect"], case["given"] / 1)

    return run


NUMBERS = Suite("sub/numbers.jsonl", prepare)
RULE = Rule("sub/numbers.jsonl", "round/*", "nobody counts in halves", "rounds down")


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., Path]:
    def write(*cases: Case, file: str = NUMBERS.file) -> Path:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(case) + "\n" for case in cases))
        return tmp_path

    return write


def case(name: str, expect: object, given: object) -> Case:
    return {"name": name, "expect": expect, "given": given}


def test_cases_pass_or_fail_by_what_came_out(corpus: Callable[..., Path]) -> None:
    report = run_file(corpus(case("a/1", 1, 1), case("a/2", 2, 3)), NUMBERS)
    assert report is not None
    assert counts(report) == "sub/numbers.jsonl: 1 passed, 1 failed, 0 deliberate"
    assert not report.good
    assert [outcome.name for outcome in report.failures] == ["a/2"]


def test_a_failure_shows_both_sides(corpus: Callable[..., Path]) -> None:
    report = run_file(corpus(case("a/2", {"x": 2, "y": 0}, 3)), NUMBERS)
    assert report is not None
    text = failure(report.file, report.failures[0])
    assert "sub/numbers.jsonl a/2" in text
    assert '- "x": 2,' in text.replace("-{", "- ") or '- "x": 2,' in text
    assert "+3.0" in text


def test_a_case_that_raises_has_failed_whatever_the_rules_say(
    corpus: Callable[..., Path],
) -> None:
    report = run_file(corpus(case("round/x", 1, "one")), NUMBERS, [RULE])
    assert report is not None
    (outcome,) = report.failures
    assert outcome.verdict is Verdict.FAILED
    assert "TypeError" in outcome.error
    assert "TypeError" in failure(report.file, outcome)


def test_only_cases_that_differ_are_deliberate(corpus: Callable[..., Path]) -> None:
    folder = corpus(case("round/1", 1, 1), case("round/2", 2.5, 2), case("up/2", 2.5, 2))
    report = run_file(folder, NUMBERS, [RULE])
    assert report is not None
    assert counts(report) == "sub/numbers.jsonl: 1 passed, 1 failed, 1 deliberate"


def test_a_rule_counts_for_its_file_alone(corpus: Callable[..., Path]) -> None:
    other = Rule("other.jsonl", "*", "reason", "instead")
    report = run_file(corpus(case("round/2", 2.5, 2)), NUMBERS, [other])
    assert report is not None
    assert counts(report) == "sub/numbers.jsonl: 0 passed, 1 failed, 0 deliberate"
    assert report.notes == []


def test_a_rule_that_matches_nothing_is_told(corpus: Callable[..., Path]) -> None:
    report = run_file(corpus(case("up/2", 2, 2)), NUMBERS, [RULE])
    assert report is not None
    assert "round/*" in report.notes[0]


def test_an_empty_file_is_not_good(corpus: Callable[..., Path]) -> None:
    report = run_file(corpus(), NUMBERS)
    assert report is not None
    assert not report.good
    assert report.notes == ["the file is empty"]


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert run_file(tmp_path, NUMBERS) is None


def test_cases_not_covered_are_told_and_not_counted(corpus: Callable[..., Path]) -> None:
    suite = Suite(
        NUMBERS.file, prepare, lambda case: not case["name"].startswith("up"), "rounding up"
    )
    report = run_file(corpus(case("up/1", 1, 1), case("a/1", 1, 1)), suite)
    assert report is not None
    assert counts(report) == "sub/numbers.jsonl: 1 passed, 0 failed, 0 deliberate"
    assert report.notes == ["1 cases not run: rounding up"]


def test_what_cannot_be_prepared_fails_every_case(corpus: Callable[..., Path]) -> None:
    def broken(folder: Path) -> Run:
        (folder / "context.json").read_text()
        return prepare(folder)

    report = run_file(corpus(case("a/1", 1, 1)), Suite(NUMBERS.file, broken))
    assert report is not None
    assert "context.json" in report.failures[0].error


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"name": "a"}\n{"name": "a"}'])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.jsonl").write_text(line + "\n")
    with pytest.raises(CorpusError, match=r"x\.jsonl, line [12]: "):
        list(read_cases(tmp_path / "x.jsonl"))


def test_differences_are_paths() -> None:
    expected = {"a": {"b": 1, "c": 2}, "d": [1]}
    actual = {"a": {"b": 2, "e": 2}, "d": [1]}
    assert sorted(differences(expected, actual)) == ["+a.e", "-a.c", "a.b"]
    assert list(differences(1, 2)) == ["all"]


def test_groups_put_alike_failures_together(corpus: Callable[..., Path]) -> None:
    folder = corpus(case("a/1", 2, 1), case("a/2", 3, 2), case("b/1", 2, 1), case("b/2", 2, 2))
    report = run_file(folder, NUMBERS)
    assert report is not None
    assert list(groups([report])) == [
        "sub/numbers.jsonl a: 2 of 2, as a/1: all",
        "sub/numbers.jsonl b: 1 of 2, as b/1: all",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "- {file: a, cases: b, reason: c}",
        "- {file: a, cases: b, reason: c, instead: ''}",
        "- {file: a, cases: b, reason: c, instead: d, more: e}",
        "- a",
    ],
)
def test_a_rule_has_all_its_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(RuleError, match=r"rules\.yaml, rule 1"):
        read_rules(path)


def test_no_rules_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("# none\n")
    assert read_rules(path) == []


@pytest.fixture
def run_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "- {file: sub/numbers.jsonl, cases: round/*, reason: halves, instead: rounds}\n"
    )
    monkeypatch.setattr(program, "RULES", rules)
    monkeypatch.setattr(program, "SUITES", (NUMBERS, Suite("more.jsonl", prepare)))

    def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv(program.ENVIRONMENT, str(folder))
        code = program.main([*arguments])
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def test_the_program_exits_1_with_counts_and_both_sides(
    corpus: Callable[..., Path], run_program: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = run_program(
        corpus(case("a/1", 1, 1), case("a/2", 2, 3), case("round/1", 1.5, 1))
    )
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "sub/numbers.jsonl: 1 passed, 1 failed, 1 deliberate"
    assert "sub/numbers.jsonl a/2" in lines
    assert "-2" in lines
    assert "+3.0" in lines
    assert err == "more.jsonl: not in this corpus\n"


def test_the_program_exits_0_when_all_is_well(
    corpus: Callable[..., Path], run_program: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run_program(corpus(case("a/1", 1, 1), case("round/1", 1.5, 1)))
    assert (code, out) == (0, "sub/numbers.jsonl: 1 passed, 0 failed, 1 deliberate\n")


def test_the_program_sums_up_and_chooses(
    corpus: Callable[..., Path], run_program: Callable[..., tuple[int, str, str]]
) -> None:
    folder = corpus(case("a/1", 1, 2), case("b/1", 1, 2))
    code, out, _ = run_program(folder, "--groups", "--only", "b/*")
    assert code == 1
    assert out.splitlines() == [
        "sub/numbers.jsonl: 0 passed, 1 failed, 0 deliberate",
        "sub/numbers.jsonl b: 1 of 1, as b/1: all",
    ]
    assert run_program(folder, "--only", "c/*")[0] == 1


def test_the_program_exits_1_for_an_empty_file(
    corpus: Callable[..., Path], run_program: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = run_program(corpus())
    assert code == 1
    assert out == "sub/numbers.jsonl: 0 passed, 0 failed, 0 deliberate\n"
    assert "the file is empty" in err


def test_the_program_exits_2_without_anything_to_run(
    tmp_path: Path, run_program: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = run_program(tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert f"no folder {tmp_path / 'nowhere'}" in err
    assert program.ENVIRONMENT in err
    code, _, err = run_program(tmp_path)
    assert code == 2
    assert "has none of the case files" in err
    (tmp_path / "more.jsonl").write_text("{\n")
    code, _, err = run_program(tmp_path)
    assert code == 2
    assert "line 1" in err
