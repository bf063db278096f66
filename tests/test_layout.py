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
REQUIRED = {
    *COMPONENTS,
    *("tests", "bench", "docs", "deploy", "pyproject.toml", "Makefile"),
    *("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "KNOWN_ISSUES.md", "LICENSE"),
}
OPTIONAL = {"docker-compose.yml", "build", "dist"}
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VAGUE = re.compile(r"(utils?|common|helpers?|misc|manager)$")
# Declarations and entry points have nothing to test of their own, or are tested by running them:
# paths below the component.
WITHOUT_OWN_TEST = re.compile(
    r"(.*/)?__(init|main)__\.py|palomar_bpf/(testbed|traffic)\.py|palomar_server/source\.py"
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
    assert REQUIRED - visible == set()
    assert visible - REQUIRED <= OPTIONAL


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
    missing, exempt = [], set()
    for path in modules():
        component, *inner = path.relative_to(ROOT).parts
        if WITHOUT_OWN_TEST.fullmatch("/".join(inner)):
            exempt.add("/".join(inner))
            continue
        test = ROOT.joinpath("tests", component, *inner[1:-1], f"test_{path.name}")
        if not test.exists():
            missing.append(f"{name(path)}: no {test.relative_to(ROOT)}")
    assert missing == []
    # An exemption for what is gone would hide the next module of that name.
    for one in ("palomar_bpf/testbed.py", "palomar_bpf/traffic.py", "palomar_server/source.py"):
        assert one in exempt


def test_no_test_uses_mocks() -> None:
    users = [
        name(path)
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"unittest\.mock|MagicMock|mocker", path.read_text())
        and path != Path(__file__)
    ]
    assert users == []
