import click
import pytest
from click.testing import CliRunner

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.selection_options import (
    FORMATS,
    format_options,
    other_options,
    selection_options,
    settle_options,
)
from palomar.printers import PRINTERS
from palomar.printers.time_format import TIME_FORMATS

STRICT = {"PALOMAR_STRICT_HUBBLE": "1"}
NO_NUMBER = 'strconv.ParseUint: parsing "-1": invalid syntax'


@click.command(
    cls=OrderedCommand,
    params=[*selection_options("things"), *format_options("thing"), *other_options()],
)
@click.pass_context
def show(ctx: click.Context, /, **options: object) -> None:
    settle_options(ctx, options)
    click.echo(sorted(options.items()))


def test_formats_are_the_printers() -> None:
    assert set(FORMATS) == set(PRINTERS)


def test_help_tells_every_time_format_and_what_the_stream_is_of() -> None:
    shown = CliRunner().invoke(show, ["--help"]).stdout
    assert all(name in shown for name in TIME_FORMATS)
    assert "The oldest N things." in shown


@pytest.mark.parametrize("env", [{}, STRICT])
def test_nothing_given_leaves_the_defaults(env: dict[str, str]) -> None:
    assert CliRunner().invoke(show, [], env=env).stdout == (
        "[('all', False), ('field_mask', None), ('first', 0), ('follow', False), "
        "('input_file', ''), ('last', 0), ('output', 'compact'), ('print_node_name', False), "
        "('print_policy_names', False), ('print_raw_filters', False), ('silent_errors', False), "
        "('since', ''), ('time_format', 'StampMilli'), ('until', ''), "
        "('use_default_field_masks', True), ('verbose', False)]\n"
    )


@pytest.mark.parametrize("output", ["table", "tab"])
def test_a_table_cannot_follow(output: str) -> None:
    run = CliRunner().invoke(show, ["-f", "-o", output])
    assert run.exit_code == 2
    assert "cannot follow" in run.stderr
    run = CliRunner().invoke(show, ["-f", "-o", output], env=STRICT)
    assert "cannot follow" in run.stderr
    assert run.exit_code


@pytest.mark.parametrize("env", [{}, STRICT])
@pytest.mark.parametrize(
    "flags",
    [["--last", "-1"], ["--last", "x"], ["--last", str(2**64)], ["--last", ""], ["-o", "xml"],
     ["--field-mask", "uuid"], ["--field-mask", "uuid", "-o", "table"]],
)  # fmt: skip
def test_impossible_values_are_refused(flags: list[str], env: dict[str, str]) -> None:
    assert CliRunner().invoke(show, flags, env=env).exit_code != 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-o", "wide"], "invalid output format: wide"),
        (["-o", "JSONPB"], "invalid output format: JSONPB"),
        (["-o", "tab", "--field-mask", "uuid"],
         "-o tab shows fields of its own, without --field-mask"),
        (["--last", "-1"],
         f'invalid argument "-1" for "--last" flag: {NO_NUMBER}'),
    ],
)  # fmt: skip
def test_errors_of_the_dialect_of_hubble(flags: list[str], message: str) -> None:
    assert f"Error: {message}\n" in CliRunner().invoke(show, flags, env=STRICT).stderr


@pytest.mark.parametrize(
    ("flags", "env", "shown"),
    [
        (["-o", "JSONPB"], {}, "('output', 'jsonpb')"),
        (["-o", "JSON"], {}, "('output', 'JSON')"),
        (["-o", "JSON"], STRICT, "('output', 'JSON')"),
        (["--last", "1_000"], {}, "('last', 1000)"),
        (["--last", "010"], {}, "('last', 10)"),
        (["--last", "010"], STRICT, "('last', 8)"),
        (["--last", "0x10"], STRICT, "('last', 16)"),
        (["--all=false"], STRICT, "('all', False)"),
        (["--use-default-field-masks=false"], STRICT, "('use_default_field_masks', False)"),
        (["--field-mask", "a,b", "--field-mask", "c", "-o", "json"], {}, "('field_mask', 'a,b,c')"),
        (["--field-mask", "", "-o", "json"], STRICT, "('field_mask', '')"),
        (["-s"], {}, "('silent_errors', True)"),
    ],
)
def test_values_as_the_work_gets_them(flags: list[str], env: dict[str, str], shown: str) -> None:
    assert shown in CliRunner().invoke(show, flags, env=env).stdout
