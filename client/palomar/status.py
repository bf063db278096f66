"""One run of `palomar status`: a server in, its health and counters printed.

Called by `commands.status`; the text is that of Hubble's command line.
"""

from palomar.commands.invocation import Invocation
from palomar.errors import ServerUnavailable
from palomar.health import Health
from palomar.output import standard_output
from palomar.printers.escape import visible
from palomar.printers.protojson import to_json
from palomar_proto.observer.observer_pb2 import ServerStatusResponse

_NS_PER_SECOND = 1_000_000_000


def show_status(invocation: Invocation, *, as_json: bool) -> None:
    """Ask for health and counters and print them.

    Args:
        invocation: Makes the client.
        as_json: Whether to print ServerStatusResponse as JSON instead of text.

    Raises:
        ServerUnavailable: Nobody answers, or the server says that it does not serve.
        PalomarError: See `palomar.errors`.
    """
    output = standard_output()
    with invocation.client() as client:
        health = client.health()
        if not as_json and health is not None:
            said = "Ok" if health is Health.SERVING else f"Unavailable: {health.name}"
            output.write(f"Healthcheck (via {visible(client.server)}): {said}\n")
            output.flush()
        if health not in {Health.SERVING, None}:
            raise ServerUnavailable(
                f"{client.server} is not healthy: {health.name}; its log says why"
            )
        status = client.status()
    output.write(f"{to_json(status)}\n" if as_json else status_text(status))
    output.flush()


def status_text(status: ServerStatusResponse) -> str:
    """Lay out the counters, one a line."""
    fill = f" ({status.num_flows / status.max_flows:.2%})" if status.max_flows else ""
    lines = [
        f"Current/Max Flows: {status.num_flows:,}/{status.max_flows:,}{fill}",
        f"Flows/s: {_flows_rate(status)}",
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


def _flows_rate(status: ServerStatusResponse) -> str:
    if status.flows_rate > 0:
        return f"{status.flows_rate:.2f}"
    # Servers before 1.12 do not tell the rate.
    if status.uptime_ns:
        return f"{status.seen_flows * _NS_PER_SECOND / status.uptime_ns:.2f}"
    return "N/A"
