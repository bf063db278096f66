"""One run of `palomar watch peers`: the nodes that serve flows, as they come, change and go.

Called by `commands.watch`; the lines are those of Hubble's command line.
"""

from palomar.commands.invocation import Invocation
from palomar.output import standard_output
from palomar.printers.escape import visible
from palomar.server_failure import hubble_wording
from palomar.version_check import warn_of_newer_server
from palomar_proto.peer.peer_pb2 import ChangeNotification, ChangeNotificationType

_TYPE_CHARACTERS = 12


def show_peers(invocation: Invocation, *, as_json: bool) -> None:
    """Print every change until the server ends the stream or the user does.

    Args:
        invocation: Makes the client.
        as_json: Whether to print them as JSON, one a line.

    Raises:
        PalomarError: See `palomar.errors`.
    """
    output = standard_output(prompt=True)
    line = _json_line if as_json else peer_line
    with invocation.client() as client, hubble_wording(strict=invocation.strict):
        warned = False
        for change in client.watch_peers():
            if not warned:
                warned = True
                warn_of_newer_server(client)
            output.write(line(change))


def peer_line(change: ChangeNotification) -> str:
    """Say in one line what happened to which node."""
    known = change.type in ChangeNotificationType.values()
    kind = ChangeNotificationType.Name(change.type) if known else str(change.type)
    tls = ""
    if change.HasField("tls"):
        tls = f" (TLS.ServerName: {visible(change.tls.server_name)})"
    return f"{kind:<{_TYPE_CHARACTERS}} {visible(change.address)} {visible(change.name)}{tls}\n"


def _json_line(change: ChangeNotification) -> str:
    from palomar.protojson import to_json  # noqa: PLC0415 - for this format only

    return f"{to_json(change)}\n"
