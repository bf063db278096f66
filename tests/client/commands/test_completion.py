import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from palomar.cli import cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_asks_palomar_what_comes_next(shell: str) -> None:
    ended = CliRunner().invoke(cli, ["completion", shell])
    assert ended.exit_code == 0
    assert f"_PALOMAR_COMPLETE={shell}_complete" in ended.stdout


def test_other_shells_are_a_wrong_argument() -> None:
    assert CliRunner().invoke(cli, ["completion", "csh"]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["observe", "--not-por"], {"--not-port"}),
        (["summary", "--not-from-po"], {"--not-from-pod", "--not-from-port"}),
        (["status", "--not-"], set()),
        (["hints", "drop"], {"drop-reason"}),
        (["observe", "--not-port", "443", "-o", "cs"], {"csv"}),
        (["sta"], {"status"}),
        (["config", "v"], {"view"}),
        (["nope", "versi"], {"version"}),
        (["list", "nope", "v"], set()),
    ],
)
@pytest.mark.parametrize("strict", ["0", "1"])
def test_flags_and_values_are_completed(
    words: list[str],
    completed: set[str],
    strict: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PALOMAR_STRICT_HUBBLE", strict)
    complete = ShellComplete(cli, {}, "palomar", "_PALOMAR_COMPLETE")
    found = complete.get_completions(words[:-1], words[-1])
    assert {item.value for item in found} == completed
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_the_script_and_completes_with_it(plain_environment: dict[str, str]) -> None:
    script = CliRunner().invoke(cli, ["completion", "bash"]).stdout
    asked = (
        "COMP_WORDS=(palomar list nod); COMP_CWORD=2; "
        '_palomar_completion palomar; echo "${COMPREPLY[@]}"'
    )
    programs = Path(sys.executable).parent
    environment = plain_environment | {"PATH": f"{programs}{os.pathsep}{plain_environment['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{asked}"],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stdout == "nodes\n"
