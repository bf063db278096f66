"""One run of `palomar status`: a server in, its health and counters printed.

Called by `commands.status`; the texts are those of Hubble's command line, in four formats.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isinf

from palomar.commands.invocation import Invocation
from palomar.durations import NS_MAX, duration_text
from palomar.errors import InvalidRequest, PalomarError, ServerError, ServerUnavailable, Unsupported
from palomar.health import Health
from palomar.output import Output, standard_output
from palomar.printers.escape import visible
from palomar.server_failure import hubble_text
from palomar.tables import table_text
from palomar.version_check import warn_of_newer_server
from palomar_proto.observer.observer_pb2 import ServerStatusResponse

_NS_PER_SECOND = 1_000_000_000
_UNKNOWN = "N/A"
_DICT_LABELS = (
    "NUM FLOWS",
    "MAX FLOWS",
    "SEEN FLOWS",
    "FLOWS PER SECOND",
    "UPTIME",
    "NUM CONNECTED NODES",
    "NUM UNAVAIL. NODES",
    "VERSION",
)
_LABEL_CHARACTERS = max(map(len, _DICT_LABELS))
_TABLE_HEADING = tuple(label.replace("UNAVAIL.", "UNAVAILABLE") for label in _DICT_LABELS)


def show_status(invocation: Invocation, output_format: str) -> None:
    """Ask for health and counters and print them.

    Args:
        invocation: Makes the client.
        output_format: compact, dict, json or jsonpb, table or tab.

    Raises:
        ServerUnavailable: Nobody answers, or the server says that it does not serve.
        PalomarError: See `palomar.errors`.
    """
    output = standard_output()
    with invocation.client() as client:
        with _failing("failed getting status", strict=invocation.strict):
            health = client.health()
            if health is None and invocation.strict:
                # Hubble gives up here; we show the counters all the same.
                raise _without_health_check()
        _show_health(health, client.server, invocation, output_format, output)
        with _failing("failed to get hubble server status", strict=invocation.strict):
            status = client.status()
        warn_of_newer_server(client)
    output.write(_formatted(status, output_format))
    if output_format == "compact" and not invocation.strict:
        output.write(_server_text(status))
    output.flush()


def _show_health(
    health: Health | None,
    server: str,
    invocation: Invocation,
    output_format: str,
    output: Output,
) -> None:
    if output_format == "compact" and health is not None:
        said = "Ok" if health is Health.SERVING else f"Unavailable: {health.name}"
        via = server.removeprefix("tls://") if invocation.strict else server
        output.write(f"Healthcheck (via {visible(via)}): {said}\n")
        output.flush()
    if health not in {Health.SERVING, None}:
        if invocation.strict:
            raise ServerUnavailable("not healthy")
        raise ServerUnavailable(f"{server} is not healthy: {health.name}; its log says why")


@contextmanager
def _failing(doing: str, *, strict: bool) -> Iterator[None]:
    """Have a server's failure read as in Hubble, in its dialect: here with what was being done."""
    try:
        yield
    except PalomarError as error:
        if not strict or not error.status:
            raise
        words = hubble_text(error.status, error.details)
        if error.status == "UNKNOWN":  # only a failure that stands alone is shown bare
            words = f"rpc error: code = Unknown desc = {words}"
        raise ServerError(f"{doing}: {words}") from error


def _without_health_check() -> Unsupported:
    """The answer of a Go server that has no such service."""
    error = Unsupported("the server offers no health check")
    error.status, error.details = "UNIMPLEMENTED", "unknown service grpc.health.v1.Health"
    return error


def _formatted(status: ServerStatusResponse, output_format: str) -> str:
    if output_format == "compact":
        return status_text(status)
    if output_format in {"json", "jsonpb", "JSON"}:
        from palomar.protojson import to_json  # noqa: PLC0415 - costs more than the rest

        return f"{to_json(status)}\n"
    if output_format == "dict":
        return status_dict(status)
    if output_format in {"table", "tab"}:
        return status_table(status)
    raise InvalidRequest(f"invalid output format: {output_format}")


def status_text(status: ServerStatusResponse) -> str:
    """Lay out what matters most, one a line, and the nodes that a relay cannot reach."""
    num_flows, max_flows = status.num_flows, status.max_flows
    fill = f" ({float(num_flows) / float(max_flows) * 100:.2f}%)" if max_flows else ""
    lines = [
        f"Current/Max Flows: {num_flows:,}/{max_flows:,}{fill}",
        f"Flows/s: {_flows_rate(status) or _mean_rate(status) or _UNKNOWN}",
    ]
    unavailable = status.num_unavailable_nodes.value
    if status.HasField("num_connected_nodes"):
        connected = status.num_connected_nodes.value
        total = f"/{connected + unavailable}" if status.HasField("num_unavailable_nodes") else ""
        lines.append(f"Connected Nodes: {connected}{total}")
    if unavailable:
        lines.append(f"Unavailable Nodes: {unavailable}")
        names = sorted(status.unavailable_nodes)
        lines += [f"  - {visible(name)}" for name in names]
        if names and unavailable > len(names):
            lines.append(f"  - and {unavailable - len(names)} more...")
    return "".join(f"{line}\n" for line in lines)


def _server_text(status: ServerStatusResponse) -> str:
    """What Hubble shows in other formats only: how long the server has been up, and its version."""
    lines = []
    if status.uptime_ns:
        uptime_s = status.uptime_ns // _NS_PER_SECOND
        lines.append(f"Uptime: {duration_text(uptime_s * _NS_PER_SECOND)}\n")
    if status.version:
        lines.append(f"Version: {visible(status.version)}\n")
    return "".join(lines)


def status_dict(status: ServerStatusResponse) -> str:
    """Lay out every counter as a key and its value, one a line."""
    return "".join(
        f"{label:>{_LABEL_CHARACTERS}}: {value}\n"
        for label, value in zip(_DICT_LABELS, _values(status), strict=True)
    )


def status_table(status: ServerStatusResponse) -> str:
    """Lay out every counter as a column, under a heading."""
    return table_text([_TABLE_HEADING, _values(status)])


def _values(status: ServerStatusResponse) -> list[str]:
    """The counters as text, in the order of the labels."""
    connected, unavailable = (
        str(getattr(status, name).value) if status.HasField(name) else _UNKNOWN
        for name in ("num_connected_nodes", "num_unavailable_nodes")
    )
    return [
        f"{status.num_flows:,}",
        f"{status.max_flows:,}",
        f"{status.seen_flows:,}",
        _flows_rate(status) or _UNKNOWN,
        duration_text(status.uptime_ns),
        connected,
        unavailable,
        visible(status.version),
    ]


def _flows_rate(status: ServerStatusResponse) -> str:
    """The rate that the server tells, of flows a second; empty if it tells none."""
    rate = status.flows_rate
    if not rate > 0:
        return ""
    return "+Inf" if isinf(rate) else f"{rate:.2f}"


def _mean_rate(status: ServerStatusResponse) -> str:
    """The mean since the server's start, since those before 1.12 do not tell their rate."""
    if not 0 < status.uptime_ns <= NS_MAX:
        return ""
    return f"{status.seen_flows / (status.uptime_ns / _NS_PER_SECOND):.2f}"
