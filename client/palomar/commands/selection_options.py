"""The options of every command that reads a stream: which part of it, and how to print it."""

import click

FORMATS = ("compact", "dict", "json", "jsonpb", "table", "JSON", "tab")
"""Must match `printers.PRINTERS`, which takes long to import; the last two are not told."""

_TABLES = {"table", "tab"}
_TIME_FORMATS = (
    "StampMilli, YearMonthDay, YearMonthDayHour, YearMonthDayHourMinute, RFC3339, RFC3339Milli, "
    "RFC3339Micro, RFC3339Nano, RFC1123Z"
)


def selection_options(things: str) -> list[click.Parameter]:
    """Make the options that select: `--last`, `--first`, `--all`, `--follow`, `--since`, `--until`.

    Args:
        things: What the stream is of, as the help calls it.
    """
    return [
        click.Option(
            ["--last"],
            type=click.IntRange(0),
            default=0,
            metavar="N",
            help=f"The newest N {things}.  [default: 20 where nothing else says how many]",
        ),
        click.Option(
            ["--first"],
            type=click.IntRange(0),
            default=0,
            metavar="N",
            help=f"The oldest N {things}.",
        ),
        click.Option(["--all"], is_flag=True, help=f"All {things} the server has."),
        click.Option(
            ["-f", "--follow"], is_flag=True, help=f"Go on with new {things} as they happen."
        ),
        click.Option(
            ["--since"],
            default="",
            metavar="TIME",
            help="From then on: a duration ago (5m) or a date (2024-03-05T10:20Z).",
        ),
        click.Option(
            ["--until"], default="", metavar="TIME", help="Up to then; ignored when following."
        ),
    ]


def format_options(thing: str) -> list[click.Parameter]:
    """Make the options that every format heeds.

    Args:
        thing: What one line is of, as the help calls it.
    """
    return [
        click.Option(
            ["-o", "--output"],
            type=click.Choice(FORMATS),
            default="compact",
            metavar="|".join(FORMATS[:5]),
            help="Format.  [default: compact]",
        ),
        click.Option(
            ["--time-format"],
            default="StampMilli",
            metavar="NAME",
            help=f"Of the human formats: {_TIME_FORMATS}.  [default: StampMilli]",
        ),
        click.Option(
            ["--print-node-name"], is_flag=True, help=f"Name the node that saw the {thing}."
        ),
    ]


def refuse_following_table(ctx: click.Context, *, follow: bool, output: str) -> None:
    """Refuse a table that never ends.

    Raises:
        click.UsageError: It was asked for.
    """
    if follow and output in _TABLES:
        raise click.UsageError(
            "a table cannot follow, since it needs all rows; use -o compact", ctx
        )
