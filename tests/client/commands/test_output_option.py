import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from palomar.commands.output_option import output_option


@click.command()
@output_option(("table", "json"))
def shown(*, output: str) -> None:
    """Say which."""
    click.echo(output)


@pytest.mark.parametrize(
    ("words", "said"), [([], "table"), (["-o", "json"], "json"), (["--output", "JSON"], "json")]
)
def test_case_does_not_matter(words: list[str], said: str) -> None:
    assert CliRunner().invoke(shown, words).stdout == f"{said}\n"


def test_what_is_no_format_is_a_wrong_argument() -> None:
    ended = CliRunner().invoke(shown, ["-o", "yaml"])
    assert ended.exit_code == 2
    assert "choose one of table, json" in ended.stderr


def test_hubble_leaves_it_to_the_command() -> None:
    ended = CliRunner().invoke(shown, ["-o", "YAML"], env={"PALOMAR_STRICT_HUBBLE": "1"})
    assert ended.stdout == "YAML\n"


def test_shell_completes_formats() -> None:
    completion = ShellComplete(shown, {}, "shown", "_SHOWN_COMPLETE")
    found = completion.get_completions(["-o"], "J")
    assert [one.value for one in found] == ["json"]
