"""The options of every command that reads a stream: which part of it, and how to print it.

`settle_options` checks what they say together, in the dialect of the run.
"""

from typing import Any

import click
from click.shell_completion import CompletionItem

from palomar.commands.invocation import Invocation
from palomar.errors import InvalidRequest
from palomar.go_syntax import parse_uint

FORMATS = ("compact", "dict", "json", "jsonpb", "table", "wide", "csv", "JSON", "tab")
"""Must match `printers.PRINTERS`, which takes long to import; the last two are not told."""

_TOLD = FORMATS[:-2]
_HUBBLE_FORMATS = frozenset({"compact", "dict", "json", "jsonpb", "table", "JSON", "tab"})
_JSON = frozenset({"json", "jsonpb", "JSON"})
_TABLES = frozenset({"table", "tab", "wide"})
_NUMBER_MAX = 2**64 - 1
_TIME_FORMATS = (
    "StampMilli, YearMonthDay, YearMonthDayHour, YearMonthDayHourMinute, RFC3339, RFC3339Milli, "
    "RFC3339Micro, RFC3339Nano, RFC1123Z"
)


class _Count(click.ParamType[int]):
    """A number of events: what a uint64 holds."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        if ctx is not None and Invocation.of(ctx).strict:
            try:
                return parse_uint(text, prefixes=True)
            except InvalidRequest as error:
                self.fail(str(error), param, ctx)
        digits = text.replace("_", "").replace(",", "")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(_NUMBER_MAX))):
            self.fail(f"{text!r} is not a number of events", param, ctx)
        if int(digits) > _NUMBER_MAX:
            self.fail(f"{text} is more than {_NUMBER_MAX}; use --all", param, ctx)
        return int(digits)


def selection_options(things: str) -> list[click.Parameter]:
    """Make the options that select: `--last`, `--first`, `--all`, `--follow`, `--since`, `--until`.

    Args:
        things: What the stream is of, as the help calls it.
    """
    return [
        click.Option(
            ["--last"],
            type=_Count(),
            default=0,
            metavar="N",
            help=f"The newest N {things}.  [default: 20 where nothing else says how many]",
        ),
        click.Option(
            ["--first"],
            type=_Count(),
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
            default="compact",
            metavar="|".join(_TOLD),
            shell_complete=_complete_format,
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
        click.Option(
            ["--print-policy-names"], is_flag=True, help="Name the policies behind a verdict."
        ),
    ]


def other_options() -> list[click.Parameter]:
    """Make the options about where events come from and what of them."""
    return [
        click.Option(
            ["--input-file"],
            default="",
            metavar="FILE",
            help="Read events as -o json wrote them, instead of asking a server; - is standard "
            "input.",
        ),
        click.Option(
            ["--field-mask"],
            multiple=True,
            metavar="FIELD,...",
            help="Show only these fields, such as uuid,source.pod_name; with -o json.",
        ),
        click.Option(
            ["--use-default-field-masks"],
            is_flag=True,
            default=True,
            help="Ask only for the fields that the format shows.  [default: true]",
        ),
        click.Option(
            ["--print-raw-filters"],
            is_flag=True,
            help="Print the filters as the server would get them, and stop.",
        ),
        click.Option(
            ["-s", "--silent-errors"], is_flag=True, help="Say nothing about losses and nodes."
        ),
    ]


def settle_options(ctx: click.Context, options: dict[str, Any]) -> None:
    """Check what the options say together, and put it in the form that `observation` takes.

    Args:
        ctx: Context of the command, for its dialect and for errors.
        options: Values by parameter name; is changed.

    Raises:
        click.UsageError: There is no such format, it cannot follow, or it shows a fixed set of
            fields while others are asked for.
    """
    invocation = Invocation.of(ctx)
    fields = [path for text in options["field_mask"] for path in text.split(",")]
    options["field_mask"] = ",".join(fields) if fields else None
    options["verbose"] = invocation.verbose
    if invocation.strict:
        _refuse_as_hubble(ctx, options)
        return
    output = str(options["output"])
    options["output"] = output = output if output in FORMATS else output.lower()
    if output not in FORMATS:
        raise click.UsageError(
            f"output format {output!r} is unknown; it is one of {', '.join(_TOLD)}", ctx
        )
    if options["follow"] and output in _TABLES:
        raise click.UsageError(
            f"-o {output} cannot follow, since a table needs all rows; use -o compact", ctx
        )
    if any(fields) and output not in _JSON:
        raise click.UsageError(
            f"-o {output} shows fields of its own; use --field-mask with -o json", ctx
        )


def _refuse_as_hubble(ctx: click.Context, options: dict[str, Any]) -> None:
    output = options["output"]
    if output not in _HUBBLE_FORMATS:
        raise click.UsageError(f"invalid output format: {output}", ctx)
    if options["follow"] and output in _TABLES:
        raise click.UsageError(f"-o {output} cannot follow, since a table needs all rows", ctx)
    if options["field_mask"] and output not in _JSON:
        raise click.UsageError(f"-o {output} shows fields of its own, without --field-mask", ctx)


def _complete_format(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    del ctx, param
    return [CompletionItem(name) for name in _TOLD if name.startswith(incomplete.lower())]
