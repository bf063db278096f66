import click
import pytest
from click.testing import CliRunner

from palomar.commands.aliased_group import AliasedGroup

STRICT = {"PALOMAR_STRICT_HUBBLE": "1"}


@click.group(cls=AliasedGroup, aliases={"node": "nodes"})
def things() -> None:
    """Things."""


@things.command()
def nodes() -> None:
    """Nodes."""
    click.echo("all of them")


@pytest.mark.parametrize("name", ["nodes", "node"])
def test_command_has_two_names(name: str) -> None:
    assert CliRunner().invoke(things, [name]).stdout == "all of them\n"


@pytest.mark.parametrize("words", [[], ["clouds"]])
def test_anything_else_is_a_mistake_but_to_hubble(words: list[str]) -> None:
    assert CliRunner().invoke(things, words).exit_code == 2
    ended = CliRunner().invoke(things, words, env=STRICT)
    assert ended.exit_code == 0
    assert ended.stdout.startswith("Usage:")
