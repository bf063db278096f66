"""The console script palomard: the daemon, or how to get its packages."""

from __future__ import annotations

import sys

import pytest

from palomar_server.entry import main


def hide(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make importing a module fail as if it were not installed."""

    class Hidden:
        @staticmethod
        def find_spec(asked: str, *_: object) -> None:
            if asked == name:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delitem(sys.modules, "palomar_server.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Hidden, *sys.meta_path])


def test_without_a_package_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hide("structlog", monkeypatch)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ("palomard needs the daemon's packages: pip install 'palomar[server]'\n")


def test_a_missing_module_of_our_own_is_a_defect_and_shows_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide("palomar_server.cli", monkeypatch)
    with pytest.raises(ModuleNotFoundError, match=r"palomar_server\.cli"):
        main()


def test_with_all_packages_it_is_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["palomard", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("palomard v")
