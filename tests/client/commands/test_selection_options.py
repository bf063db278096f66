import click
import pytest
from click.testing import CliRunner

from palomar.commands.selection_options import (
    FORMATS,
    format_options,
    refuse_following_table,
    selection_options,
)
from palomar.printers import PRINTERS
from palomar.printers.time_format import TIME_FORMATS


@click.command(params=[*selection_options("things"), *format_options("thing")])
@click.pass_context
def show(ctx: click.Context, /, **options: object) -> None:
    refuse_following_table(ctx, follow=bool(options["follow"]), output=str(options["output"]))
    click.echo(sorted(options.items()))


def test_formats_are_the_printers() -> None:
    assert set(FORMATS) == set(PRINTERS)


def test_help_tells_every_time_format_and_what_the_stream_is_of() -> None:
    shown = CliRunner().invoke(show, ["--help"]).stdout
    assert all(name in shown for name in TIME_FORMATS)
    assert "The oldest N things." in shown


def test_nothing_given_leaves_the_defaults() -> None:
    assert CliRunner().invoke(show, []).stdout == (
        "[('all', False), ('first', 0), ('follow', False), ('last', 0), ('output', 'compact'), "
        "('print_node_name', False), ('since', ''), ('time_format', 'StampMilli'), ('until', '')]\n"
    )


@pytest.mark.parametrize("output", ["table", "tab"])
def test_a_table_cannot_follow(output: str) -> None:
    run = CliRunner().invoke(show, ["-f", "-o", output])
    assert run.exit_code == 2
    assert "a table cannot follow" in run.stderr


@pytest.mark.parametrize("flags", [["--last", "-1"], ["-o", "xml"]])
def test_impossible_values_are_refused(flags: list[str]) -> None:
    assert CliRunner().invoke(show, flags).exit_code == 2
