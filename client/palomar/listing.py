"""One run of `palomar list`: the nodes of a relay, or the namespaces of recent flows, printed.

Called by `commands.list`; tables and JSON are those of Hubble's command line.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from palomar.commands.invocation import Invocation
from palomar.durations import NS_MAX, duration_text
from palomar.errors import InvalidRequest
from palomar.output import standard_output
from palomar.printers.escape import visible
from palomar.server_failure import hubble_wording
from palomar.tables import table_text
from palomar.version_check import warn_of_newer_server
from palomar_proto.observer.observer_pb2 import Namespace, Node
from palomar_proto.relay.relay_pb2 import NodeState

if TYPE_CHECKING:
    from google.protobuf.message import Message

_NS_PER_SECOND = 1_000_000_000
_UNKNOWN = "N/A"

_STATES = {
    NodeState.NODE_CONNECTED: "Connected",
    NodeState.NODE_UNAVAILABLE: "Unavailable",
    NodeState.NODE_GONE: "Gone",
    NodeState.NODE_ERROR: "Error",
}

# Go's encoding/json writes these as escapes, so that JSON may stand in HTML and JavaScript; what
# `visible` would write out is escaped as well, since a terminal may be looking on.
_ESCAPED_IN_JSON = {
    code: f"\\u{code:04x}"
    for code in (
        *map(ord, "<>&\u2028\u2029"),
        *range(0x7F, 0xA0),
        *(*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F),
    )
}


def show_nodes(invocation: Invocation, output_format: str) -> None:
    """Ask a relay for its nodes and print them by name.

    Args:
        invocation: Makes the client.
        output_format: table, wide or json.

    Raises:
        Unsupported: The server is no relay.
        PalomarError: See `palomar.errors`.
    """
    with invocation.client() as client:
        with hubble_wording(strict=invocation.strict):
            nodes = sorted(client.nodes().nodes, key=lambda node: node.name)
        warn_of_newer_server(client)
    _show(nodes, lambda wide: node_rows(nodes, wide=wide), invocation, output_format)


def show_namespaces(invocation: Invocation, output_format: str) -> None:
    """Ask for the namespaces that flows of the last hour were in and print them.

    Args:
        invocation: Makes the client.
        output_format: table, wide or json.

    Raises:
        PalomarError: See `palomar.errors`.
    """
    with invocation.client() as client:
        with hubble_wording(strict=invocation.strict):
            namespaces = list(client.namespaces().namespaces)
        warn_of_newer_server(client)
    _show(
        namespaces,
        lambda wide: namespace_rows(namespaces, wide=wide),
        invocation,
        output_format,
    )


def node_rows(nodes: Sequence[Node], *, wide: bool) -> list[list[str]]:
    """Lay out nodes as rows under a heading.

    Args:
        nodes: In the order of the rows.
        wide: Whether to add version, address and TLS.
    """
    heading = ["NAME", "STATUS", "AGE", "FLOWS/S", "CURRENT/MAX-FLOWS"]
    rows = [heading + (["VERSION", "ADDRESS", "TLS"] if wide else [])]
    for node in nodes:
        row = [visible(node.name), _STATES.get(node.state, "Unknown"), *_age_and_rate(node)]
        row.append(_fill(node))
        if wide:
            row += [visible(node.version) or _UNKNOWN, visible(node.address), _tls(node)]
        rows.append(row)
    return rows


def namespace_rows(namespaces: Sequence[Namespace], *, wide: bool) -> list[list[str]]:
    """Lay out namespaces as rows under a heading.

    Args:
        namespaces: In the order of the rows.
        wide: Whether to add the cluster, where there is one.
    """
    rows = [["NAMESPACE", "CLUSTER"] if wide else ["NAMESPACE"]]
    for namespace in namespaces:
        row = [visible(namespace.namespace)]
        if wide and namespace.cluster:
            row.append(visible(namespace.cluster))
        rows.append(row)
    return rows


def json_text(messages: "Sequence[Message]", *, strict: bool) -> str:
    """Write messages as an indented JSON list, with the field names of the .proto files.

    Args:
        messages: Any.
        strict: Whether none is `null`, as Go writes a list that was never made, and not `[]`.
    """
    import json  # noqa: PLC0415 - for this format only

    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - likewise

    if strict and not messages:
        return "null\n"
    members = [MessageToDict(message, preserving_proto_field_name=True) for message in messages]
    text = json.dumps(members, indent=2, ensure_ascii=False)
    return f"{text.translate(_ESCAPED_IN_JSON)}\n"


def _show(
    messages: "Sequence[Message]",
    rows: Callable[[bool], list[list[str]]],
    invocation: Invocation,
    output_format: str,
) -> None:
    if output_format == "json":
        text = json_text(messages, strict=invocation.strict)
    elif output_format in {"table", "wide"}:
        text = table_text(rows(output_format == "wide"))
    else:
        raise InvalidRequest(f"unknown output format: {output_format}")
    output = standard_output()
    output.write(text)
    output.flush()


def _age_and_rate(node: Node) -> tuple[str, str]:
    """How long the node has been up, in whole seconds, and its mean of flows a second since."""
    uptime_s = (node.uptime_ns + _NS_PER_SECOND // 2) // _NS_PER_SECOND
    if not uptime_s or node.uptime_ns > NS_MAX:
        return _UNKNOWN, _UNKNOWN
    return duration_text(uptime_s * _NS_PER_SECOND), f"{node.seen_flows / uptime_s:.2f}"


def _fill(node: Node) -> str:
    if not node.max_flows:
        return _UNKNOWN
    fill = float(node.num_flows) / float(node.max_flows) * 100
    return f"{node.num_flows}/{node.max_flows} ({fill:6.2f}%)"


def _tls(node: Node) -> str:
    if not node.HasField("tls"):
        return _UNKNOWN
    return "Enabled" if node.tls.enabled else "Disabled"
