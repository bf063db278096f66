"""`palomar record`: packets into a file, or as a stream."""

from pathlib import Path
from typing import Any

import click

from palomar.commands.flag_order import OrderedCommand
from palomar.commands.invocation import Invocation
from palomar.commands.output_option import output_option
from palomar.commands.scope_options import filter_options, scope_keywords
from palomar.commands.server_options import server_options
from palomar.errors import InvalidRequest
from palomar.sizes import parse_size
from palomar.timestamps import duration_ns

_UINT64_MAX = 2**64 - 1
_FORMATS = ("pcapng", "pcap")
_SUFFIXES = {".pcapng": "pcapng", ".pcap": "pcap", ".cap": "pcap"}
"""Which format the end of a file's name promises."""


def _size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    number = parse_size(value) if value else 0
    if number is None:
        raise click.BadParameter(
            f"{value!r} is no whole number of 0 or more; write it like 1000, 10k, 5M or 1Gi",
            ctx,
            param,
        )
    if number > _UINT64_MAX:
        raise click.BadParameter(
            f"{value!r} is more than anything can have; leave it out for no limit", ctx, param
        )
    return number


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> str:
    read_ns = duration_ns(value) if value else 0
    if read_ns is None or read_ns < 0:
        raise click.BadParameter(
            f"{value!r} is no duration of 0s or more; write it like 10s or 1m30s", ctx, param
        )
    return value


def _limit_options() -> list[click.Parameter]:
    """Make the options that say how much."""
    limits = (
        ("--packets", "N", "End with this packet."),
        (
            "--bytes",
            "SIZE",
            "End with the packet that reaches so many captured bytes: 10k, 5M, 1Gi.",
        ),
        ("--snaplen", "SIZE", "Bytes of each packet.  [default: all]"),
    )
    spans = (
        ("--duration", "End so long after the begin, or the trigger: 30s, 5m."),
        ("--before", "Keep packets from so long before the trigger, too."),
        ("--keep", "How long the node keeps the file.  [default: as long as its settings say]"),
    )
    return [
        *(
            click.Option([flag], default="", metavar=metavar, callback=_size, help=text)
            for flag, metavar, text in limits
        ),
        *(
            click.Option([flag], default="", metavar="DURATION", callback=_duration, help=text)
            for flag, text in spans
        ),
    ]


@click.command(
    cls=OrderedCommand,
    params=[*filter_options(), *_limit_options()],
    short_help="Record packets.",
)
@click.argument("rules", nargs=-1, metavar="[TUPLE]...")
@click.option(
    "-w",
    "--write",
    default="",
    metavar="FILE",
    help="Where the packets are to be; - is standard output.  [default: only on the node]",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option(
    "--format",
    "file_format",
    default="",
    metavar="|".join(_FORMATS),
    help="Of the file.  [default: pcapng, or what the end of FILE's name says]",
)
@click.option(
    "--tuple",
    "tuples",
    multiple=True,
    metavar="'SRC PORT DST PORT PROTO'",
    help="Packets between these, such as '10.0.0.0/8 * 10.1.0.7 80 tcp'; several are alternatives.",
)
@click.option(
    "--pcap-filter", default="", metavar="EXPRESSION", help="Packets that tcpdump would select so."
)
@click.option(
    "--one-way", is_flag=True, help="Only what the filters say, and not what goes the other way."
)
@click.option(
    "--trigger",
    default="",
    metavar="FILTERS",
    help="Begin with the first packet of such a flow: verdict=drop,pod=web.",
)
@click.option("--name", default="", metavar="NAME", help="Begin of the id.  [default: palomar]")
@click.option("--detach", is_flag=True, help="Leave as soon as it has begun, and print its id.")
@output_option(("text", "json"))
@server_options
@click.pass_context
def record(ctx: click.Context, /, **options: Any) -> None:
    """Record packets of the flows that match all filters, until Ctrl-C or a limit.

    The filters are those of `palomar observe`; packets the other way come along. The file is made
    on the node, and with -w fetched at the end. -w - sends packets while they come instead.

    \b
      palomar record --pod shop/web --verdict dropped -w drops.pcapng
      palomar record --pod web --packets 1k -w - | tshark -r -
      palomar record --trigger verdict=drop,pod=web --before 2s --duration 10s -w around.pcapng
    """  # noqa: D301 - click looks for the backspace character
    from palomar.recording_run import RecordPlan, run_recording  # noqa: PLC0415 - loads gRPC, as in observe

    what = scope_keywords(ctx, options)
    what.update(
        # Hubble's command took them as plain words.
        tuples=(*options["tuples"], *options["rules"]),
        pcap_filter=options["pcap_filter"],
        one_way=options["one_way"],
        name=options["name"],
        format=_format(options["file_format"], options["write"]),
        snaplen_bytes=options["snaplen"],
        packets_max=options["packets"],
        bytes_max=options["bytes"],
        duration=options["duration"],
        trigger=options["trigger"],
        before=options["before"],
        keep=options["keep"],
    )
    plan = RecordPlan(
        what=what,
        file=options["write"],
        overwrite=options["force"],
        detach=options["detach"],
        as_json=options["output"] == "json",
    )
    try:
        run_recording(Invocation.of(ctx), plan)
    except InvalidRequest as error:
        if error.status:
            raise
        raise click.UsageError(str(error), ctx) from error


def _format(given: str, file: str) -> str:
    """The format of a file: what is asked for, which its name must not belie, or what that says."""
    named = _SUFFIXES.get(Path(file).suffix.lower(), "")
    if given and named not in {"", given.lower()}:
        raise click.UsageError(
            f"--format {given} contradicts the name {file}, by which programs would take it for "
            f"{named}; leave out --format, or end the name in .{given.lower()}"
        )
    return given or named or _FORMATS[0]
