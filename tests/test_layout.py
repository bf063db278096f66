"""The house rules that a script can check."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS = {
    "proto": "palomar_proto",
    "server": "palomar_server",
    "recorder": "palomar_recorder",
    "bpf": "palomar_bpf",
    "client": "palomar",
}
TOP_LEVEL = {
    *COMPONENTS,
    *("tests", "bench", "docs", "deploy", "pyproject.toml", "docker-compose.yml", "Makefile"),
    *("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "KNOWN_ISSUES.md", "LICENSE"),
}
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VAGUE = re.compile(r"(utils?|common|helpers?|misc|manager)$")
# Declarations and entry points have nothing to test of their own, or are tested by running them.
WITHOUT_OWN_TEST = re.compile(
    r"__init__|__main__|.*_pb2(_grpc)?|testbed|traffic|hooks_protocols|source|palomar/testing"
)


def modules() -> list[Path]:
    return [
        path
        for component, package in COMPONENTS.items()
        for path in sorted((ROOT / component / package).rglob("*.py"))
        if "_pb2" not in path.name
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(("component", "package"), COMPONENTS.items())
def test_folder_holds_a_short_readme_and_one_package(component: str, package: str) -> None:
    folder = ROOT / component
    readme = (folder / "README.md").read_text().splitlines()
    assert 3 <= len(readme) <= 10
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    assert packages == [package]
    # These folders are on sys.path of an editable install: a module here would be everyone's.
    loose = [path.name for path in folder.glob("*.py")]
    assert loose == (["generate.py"] if component == "proto" else [])


def test_top_level_is_what_the_architecture_says() -> None:
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert visible - TOP_LEVEL <= {"build", "dist"}


@pytest.mark.parametrize("path", modules(), ids=name)
def test_module_opens_with_its_story_and_stays_small(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no module docstring"
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_module_is_named_by_a_noun_of_the_field(path: Path) -> None:
    assert not VAGUE.search(path.stem)


@pytest.mark.parametrize("path", modules(), ids=name)
def test_queues_have_a_limit(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if re.search(r"(^|\.)(Queue|LifoQueue|PriorityQueue|SimpleQueue)$", called):
                assert any(keyword.arg == "maxsize" for keyword in node.keywords)


def test_every_module_has_its_test() -> None:
    missing = []
    for component, package in COMPONENTS.items():
        root = ROOT / component / package
        for path in modules():
            if not path.is_relative_to(root) or WITHOUT_OWN_TEST.fullmatch(path.stem):
                continue
            inner = path.relative_to(root)
            test = ROOT / "tests" / component / inner.parent / f"test_{inner.name}"
            if not test.exists():
                missing.append(f"{name(path)}: no {test.relative_to(ROOT)}")
    assert missing == []


def test_no_test_uses_mocks() -> None:
    users = [
        name(path)
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"unittest\.mock|MagicMock|mocker", path.read_text())
        and path != Path(__file__)
    ]
    assert users == []
