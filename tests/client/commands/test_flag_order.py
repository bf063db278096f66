import click
from click.testing import CliRunner

from palomar.commands.flag_order import OrderedCommand, flags_in_order


def order_of(*arguments: str) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []

    @click.command(cls=OrderedCommand)
    @click.option("--pod", multiple=True)
    @click.option("--to-port", multiple=True)
    @click.option("--not", "not", count=True)
    @click.option("--last", type=int)
    @click.pass_context
    def command(ctx: click.Context, /, **options: object) -> None:
        del options
        seen.extend(flags_in_order(ctx, {"pod", "to_port", "not"}))

    assert CliRunner().invoke(command, arguments).exit_code == 0
    return seen


def test_flags_keep_their_order_and_values() -> None:
    arguments = ("--pod", "a", "--not", "--to-port", "1", "--last", "3", "--not", "--pod", "b")
    assert order_of(*arguments) == [
        ("pod", "a"), ("not", ""), ("to-port", "1"), ("not", ""), ("pod", "b"),
    ]  # fmt: skip


def test_values_may_look_like_flags() -> None:
    assert order_of("--pod=--not", "--not") == [("pod", "--not"), ("not", "")]


def test_no_flags_are_an_empty_list() -> None:
    assert order_of() == []
