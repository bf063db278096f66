"""`palomar monitor`: raw events, for those who know `cilium monitor`."""

import click

from palomar.commands.invocation import Invocation
from palomar.errors import InvalidRequest, ServerUnavailable
from palomar.event_types import EVENT_TYPES, event_type_filter


def _types(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> frozenset[tuple[int, int | None]]:
    """Read types with or without a subtype, several in one value between commas."""
    try:
        filters = [event_type_filter(one) for value in values for one in value.split(",")]
    except InvalidRequest as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return frozenset((one["type"], one.get("sub_type")) for one in filters)


@click.command(short_help="Show raw events.")
@click.option(
    "--socket",
    "path",
    metavar="PATH",
    help="Monitor socket of palomard or of a Cilium agent (/var/run/cilium/monitor1_2.sock).  "
    "[default: /run/palomar/monitor.sock]",
)
@click.option(
    "-t",
    "--type",
    "types",
    multiple=True,
    callback=_types,
    metavar="TYPE,…",
    help=f"Only messages of these types: {', '.join(EVENT_TYPES)}, or a number; also TYPE:SUBTYPE.",
)
@click.option("--hex/--no-hex", default=True, help="Whether to show the bytes.  [default: --hex]")
@click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("-D", "--debug", is_flag=True, help="Show a traceback on errors.")
@click.pass_context
def monitor(
    ctx: click.Context,
    /,
    *,
    path: str | None,
    types: frozenset[tuple[int, int | None]],
    hex: bool,  # noqa: A002 - click's name for --hex
    as_json: bool,
    debug: bool,
) -> None:
    """Show events as the kernel side made them: what their head says, and their bytes.

    Losses are shown whatever the type. Ends with Ctrl-C.

    \b
      palomar monitor -t drop
      palomar monitor --socket /var/run/cilium/monitor1_2.sock --json
    """  # noqa: D301 - click looks for the backspace character
    if debug:
        Invocation.of(ctx).flags["debug"] = True

    from palomar.monitor import DEFAULT_MONITOR_SOCKET, MonitorClient  # noqa: PLC0415 - loads what --help need not
    from palomar.output import standard_output  # noqa: PLC0415
    from palomar.printers.monitor_event import payload_json, payload_text  # noqa: PLC0415

    output = standard_output()
    with MonitorClient(DEFAULT_MONITOR_SOCKET if path is None else path) as client:
        try:
            for payloads in client.batches():
                for payload in payloads:
                    if types and payload.data and not _is_of(payload.data, types):
                        continue
                    if as_json:
                        output.write(payload_json(payload))
                    else:
                        output.write(payload_text(payload, with_bytes=hex))
                # Nobody should wait for more to come.
                output.flush()
        finally:
            output.flush()
        raise ServerUnavailable(f"{client.path} has closed the connection; try again")


def _is_of(message: bytes, types: frozenset[tuple[int, int | None]]) -> bool:
    from palomar_proto.monitor.head import read_head  # noqa: PLC0415 - loaded by now

    first = read_head(message)
    return first is not None and not types.isdisjoint(
        ((first.type, None), (first.type, first.subtype))
    )
