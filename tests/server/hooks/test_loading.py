from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from palomar_server.hooks import HookError, Hooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from palomar_server.hooks import FlowBatch

    Install = Callable[[str, str], None]


class Watching:
    def on_decoded_flow(self, batch: FlowBatch) -> None: ...


class Broken(Watching):
    def __init__(self) -> None:
        raise RuntimeError("cannot start")


def make() -> Watching:
    return Watching()


class CallableHook(Watching):
    def __call__(self) -> object:
        raise AssertionError("a hook is not to be called where it is loaded")


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("palomar_hooks_of_a_user")
    module.__dict__.update(
        instance=Watching(),
        Class=Watching,
        factory=make,
        callable=CallableHook(),
        number=5,
        Broken=Broken,
        nothing=lambda: None,
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a distribution that has some entry points, as lines of their file."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(distribution: str, lines: str) -> None:
        directory = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (directory / "entry_points.txt").write_text(f"[palomar.hooks]\n{lines}\n")

    return install


def names(hooks: Hooks) -> list[str]:
    return list(hooks.decoded_flow.figures())


def test_hooks_load_as_objects_classes_and_factories() -> None:
    hooks = Hooks()
    wanted = [
        f"palomar_hooks_of_a_user:{one}" for one in ("instance", "Class", "factory", "callable")
    ]
    hooks.load(wanted)
    assert names(hooks) == wanted


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("palomar_hooks_of_a_user:missing", "has no attribute 'missing'"),
        ("palomar_hooks_of_a_user", "has no attribute ''"),
        ("palomar_hooks_of_nobody:hook", "No module named 'palomar_hooks_of_nobody'"),
        ("palomar_hooks_of_a_user:number", "has none of on_server_init"),
        ("palomar_hooks_of_a_user:nothing", "has none of on_server_init"),
        ("palomar_hooks_of_a_user:Broken", "cannot start"),
        (":hook", "Empty module name"),
    ],
)
def test_a_hook_that_cannot_be_loaded_is_named_with_the_cause(name: str, cause: str) -> None:
    with pytest.raises(HookError, match=cause) as caught:
        Hooks().load([name])
    assert repr(name) in str(caught.value)
    assert "module:object" in str(caught.value)


def test_a_hook_named_twice_is_refused() -> None:
    name = "palomar_hooks_of_a_user:instance"
    with pytest.raises(HookError, match="already"):
        Hooks().load([name, name])


def test_entry_points_come_behind_the_settings_sorted_by_name(install: Install) -> None:
    install("acme-two", "b = palomar_hooks_of_a_user:Class\nd = palomar_hooks_of_a_user:factory")
    install("acme-one", "c = palomar_hooks_of_a_user:instance\na = palomar_hooks_of_a_user:Class")
    hooks = Hooks()
    hooks.load(["palomar_hooks_of_a_user:instance"])
    hooks.load_entry_points()
    assert names(hooks) == ["palomar_hooks_of_a_user:instance", "a", "b", "c", "d"]


def test_only_the_entry_points_that_are_wanted_are_loaded(install: Install) -> None:
    install("acme", "a = palomar_hooks_of_a_user:Broken\nb = palomar_hooks_of_a_user:Class")
    hooks = Hooks()
    hooks.load_entry_points(())
    assert names(hooks) == []
    hooks.load_entry_points(("b",))
    assert names(hooks) == ["b"]


def test_a_broken_entry_point_is_named_with_its_distribution(install: Install) -> None:
    install("acme-hooks", "a = palomar_hooks_of_a_user:Broken")
    with pytest.raises(HookError) as caught:
        Hooks().load_entry_points()
    assert str(caught.value) == (
        "hook 'a' of the distribution acme-hooks 1.0 cannot be loaded (cannot start); mend or "
        "remove that, or leave it out by the setting hook_entry_points"
    )


def test_two_entry_points_of_one_name_are_refused(install: Install) -> None:
    install("acme-one", "a = palomar_hooks_of_a_user:Class")
    install("acme-two", "a = palomar_hooks_of_a_user:Class")
    with pytest.raises(HookError, match=r"'a' of the distribution acme-two 1.0 .*already"):
        Hooks().load_entry_points()


def test_an_entry_point_that_is_wanted_and_not_there_is_named(install: Install) -> None:
    install("acme", "a = palomar_hooks_of_a_user:Class")
    with pytest.raises(HookError, match=r"has a hook 'b' in palomar.hooks; there: a"):
        Hooks().load_entry_points(("a", "b"))
