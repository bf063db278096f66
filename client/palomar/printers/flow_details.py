"""What only the wide and csv formats show of a flow: direction, protocol, labels, interface.

In: a Flow. Out: short texts, empty where the flow does not tell, with control characters of remote
origin written out.
"""

from collections.abc import Iterable

from palomar.printers.escape import visible
from palomar_proto.flow import flow_pb2

DETAIL_PATHS = ("source.labels", "destination.labels", "interface")
"""The fields read here that no other human format reads."""

_DIRECTIONS = {flow_pb2.INGRESS: "ingress", flow_pb2.EGRESS: "egress"}

# Labels that Kubernetes and Cilium give to every pod, and that repeat its namespace or cluster.
_GIVEN_LABELS = ("io.cilium.", "io.kubernetes.")
_KUBERNETES = "k8s:"
_LABELS_CHARACTERS_MAX = 40
"""Labels are listed up to this length, then counted."""


def direction(flow: flow_pb2.Flow) -> str:
    """Say whether the flow entered or left the endpoint that saw it."""
    return _DIRECTIONS.get(flow.traffic_direction, "")


def protocol(flow: flow_pb2.Flow) -> str:
    """Name the protocol over IP, as the filter does: `TCP`, `ICMPv4` and so on."""
    return flow.l4.WhichOneof("protocol") or ""


def interface(flow: flow_pb2.Flow) -> str:
    """Name the interface; its number where it has no name."""
    if not flow.HasField("interface"):
        return ""
    return visible(flow.interface.name) or str(flow.interface.index)


def short_labels(labels: Iterable[str]) -> str:
    """List the labels somebody chose, as many as fit and at least one, without `k8s:`."""
    chosen = [
        visible(label.removeprefix(_KUBERNETES))
        for label in labels
        if not label.removeprefix(_KUBERNETES).startswith(_GIVEN_LABELS)
    ]
    characters = 0
    for shown, label in enumerate(chosen):
        characters += len(label) + 1
        if characters > _LABELS_CHARACTERS_MAX and shown:
            return f"{','.join(chosen[:shown])},+{len(chosen) - shown}"
    return ",".join(chosen)
