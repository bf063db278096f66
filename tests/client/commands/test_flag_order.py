from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from palomar.commands.flag_order import OrderedCommand, first_word, flags_in_order

STRICT = {"PALOMAR_STRICT_HUBBLE": "1"}
NO_BOOLEAN = 'strconv.ParseBool: parsing "yes": invalid syntax'


@click.command(cls=OrderedCommand)
@click.option("--pod", multiple=True)
@click.option("--to-port", multiple=True)
@click.option("-4", "--ipv4", count=True)
@click.option("--not", "not", count=True)
@click.option("--last", type=int)
@click.option("-f", "--follow", is_flag=True)
@click.option("--translate", is_flag=True, default=True)
@click.option("--hex/--no-hex", default=True)
@click.option("-o", "--output")
@click.argument("place", required=False)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    ctx.exit(Seen(options, flags_in_order(ctx, {"pod", "to-port", "not", "ipv4"})).keep())


class Seen:
    """What the last run of the command was given."""

    last: "Seen"

    def __init__(self, options: dict[str, Any], flags: list[tuple[str, str]]) -> None:
        self.options, self.flags = options, flags

    def keep(self) -> int:
        Seen.last = self
        return 0


def run(*arguments: str, strict: bool = False) -> Result:
    return CliRunner().invoke(command, arguments, env=STRICT if strict else {})


def seen(*arguments: str, strict: bool = False) -> Seen:
    result = run(*arguments, strict=strict)
    assert result.exit_code == 0, result.output
    return Seen.last


def test_flags_keep_their_order_and_values() -> None:
    arguments = ("--pod", "a", "--not", "--to-port", "1", "--last", "3", "--not", "--pod", "b")
    assert seen(*arguments).flags == [
        ("pod", "a"), ("not", "true"), ("to-port", "1"), ("not", "true"), ("pod", "b"),
    ]  # fmt: skip


def test_values_may_look_like_flags() -> None:
    assert seen("--pod=--not", "--not").flags == [("pod", "--not"), ("not", "true")]
    assert seen("--pod", "-f").flags == [("pod", "-f")]
    assert not Seen.last.options["follow"]


def test_no_flags_are_an_empty_list_and_all_defaults() -> None:
    given = seen()
    assert given.flags == []
    assert given.options == {
        "pod": (), "to_port": (), "ipv4": 0, "not": 0, "last": None, "follow": False,
        "translate": True, "hex": True, "output": None, "place": None,
    }  # fmt: skip


def test_every_filter_has_a_negation() -> None:
    flags = seen("--not-pod", "a", "--not-to-port=1", "--not-ipv4", "--not-ipv4=false").flags
    assert flags == [
        ("not-pod", "a"), ("not-to-port", "1"), ("not-ipv4", "true"), ("not-ipv4", "false"),
    ]  # fmt: skip
    assert run("--not-last", "1").exit_code == 2


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["-f"], {"follow": True}),
        (["-f=false"], {"follow": False}),
        (["--follow=true", "--follow=F"], {"follow": False}),
        (["--translate=false"], {"translate": False}),
        (["--translate", "false"], {"translate": True, "place": "false"}),
        (["--no-hex"], {"hex": False}),
        (["-4f"], {"ipv4": 1, "follow": True}),
        (["-fo", "json"], {"follow": True, "output": "json"}),
        (["-ojson"], {"output": "json"}),
        (["-o=json"], {"output": "json"}),
        (["-o", "a", "--output=b"], {"output": "b"}),
        (["--last", "3"], {"last": 3}),
        (["-4", "--ipv4=x"], {"ipv4": 2}),
        (["--", "-f"], {"place": "-f", "follow": False}),
        (["-"], {"place": "-"}),
    ],
)
def test_words_are_read_alike_in_both_dialects(
    arguments: list[str],
    values: dict[str, object],
    *,
    strict: bool,
) -> None:
    options = seen(*arguments, strict=strict).options
    assert {name: options[name] for name in values} == values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pod"], "flag needs an argument: --pod"),
        (["-o"], "flag needs an argument: 'o' in -o"),
        (["-fo"], "flag needs an argument: 'o' in -o"),
        (["--nope"], "unknown flag: --nope"),
        (["--nope=1"], "unknown flag: --nope"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-fxy"], "unknown shorthand flag: 'x' in -xy"),
        (["--=x"], "bad flag syntax: --=x"),
        (["--follow=yes"], f'invalid argument "yes" for "-f, --follow" flag: {NO_BOOLEAN}'),
    ],
)
def test_errors_have_the_words_of_hubble(arguments: list[str], message: str) -> None:
    result = run(*arguments, strict=True)
    assert result.exit_code != 0
    assert f"Error: {message}\n" in result.stderr


def test_values_that_click_refuses_are_named_as_hubble_does() -> None:
    result = run("--last", "x", strict=True)
    assert 'Error: invalid argument "x" for "--last" flag: ' in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pod"], "--pod needs a value"),
        (["--pot", "x"], "Did you mean one of: '--not', '--pod'"),
        (["-x"], "No such option '-x'"),
        (["--follow=perhaps"], "--follow takes true or false, not 'perhaps'"),
        (["a", "b"], "unexpected extra argument (b)"),
        (["--last", "x"], "'x' is not a valid integer"),
    ],
)
def test_errors_of_our_own_say_what_would_be_right(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_hubble_ignores_words_that_are_too_many() -> None:
    assert seen("a", "b", "-f", "c", strict=True).options["follow"]


def test_help_and_unfinished_lines_are_clicks_business() -> None:
    assert "--to-port" in run("--help").stdout
    context = command.make_context("command", ["--pod"], resilient_parsing=True)
    assert context.params["pod"] == ()


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ([], None),
        (["--pod", "x", "-f", "flows"], 3),
        (["-4", "flows"], 1),
        (["--pod=x", "flows"], 1),
        (["-ojson", "flows"], 1),
        (["-o", "json"], None),
        (["--not-pod", "x", "flows"], 2),
        (["--", "flows"], None),
    ],
)
def test_the_first_word_that_is_no_value(arguments: list[str], place: int | None) -> None:
    with command.make_context("command", []) as ctx:
        assert first_word(command, ctx, arguments) == place
