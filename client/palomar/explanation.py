"""One run of `palomar explain`: a flow in, why it was dropped and what to check out.

Called by `commands.explain`; palomard knows the reasons.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from palomar.drop_causes import cause_name
from palomar.output import standard_output
from palomar.printers import Look, make_printer
from palomar.printers.escape import visible
from palomar.protojson import to_json
from palomar.quantities import count_text, time_text
from palomar_proto.flow.flow_pb2 import TrafficDirection
from palomar_proto.observer.observer_pb2 import GetFlowsResponse

if TYPE_CHECKING:
    from palomar.commands.invocation import Invocation
    from palomar_proto.palomar.v1.explanation_pb2 import DropCounts, ExplainResponse, PathMtu

_RELATIONS = {
    1: "same packet",
    2: "before",
    3: "after",
    4: "reply before",
    5: "reply after",
    6: "ICMP error",
}
"""By number of palomar.v1.FlowRelation."""

_RELATION_CHARACTERS = max(map(len, _RELATIONS.values()))


def show_explanation(
    invocation: "Invocation",
    about: str | None,
    query: Mapping[str, Any],
    look: Look,
    *,
    as_json: bool,
) -> None:
    """Ask about a flow and print the answer.

    Args:
        invocation: Makes the client.
        about: The uuid of a flow; `None` for the last one that the query selects.
        query: Further keywords of `Client.explain`.
        look: How flows are shown.
        as_json: Whether to print the answer as JSON.

    Raises:
        PalomarError: See `palomar.errors`.
    """
    with invocation.client() as client:
        answer = client.explain(about, **query)
    output = standard_output()
    output.write(f"{to_json(answer)}\n" if as_json else explanation_text(answer, look))
    output.flush()


def explanation_text(answer: "ExplainResponse", look: Look | None = None) -> str:
    """Write the answer in paragraphs: the flow, what happened, what to check, what surrounds it."""
    printer = make_printer("compact", look or Look())
    paragraphs = [printer.flow(GetFlowsResponse(flow=answer.flow)).rstrip("\n")]
    if answer.headline:
        paragraphs.append(visible(answer.headline))
    paragraphs.append("\n".join(_facts(answer)))
    for title, texts in (
        ("Usual causes", answer.usual_causes),
        ("Check next", answer.check_next),
    ):
        if texts:
            paragraphs.append(_listed(title, texts))
    if answer.related:
        lines = [
            f"  {_RELATIONS.get(one.relation, str(one.relation)):{_RELATION_CHARACTERS}}  "
            + printer.flow(GetFlowsResponse(flow=one.flow)).rstrip("\n")
            for one in answer.related
        ]
        more = [f"  {'':{_RELATION_CHARACTERS}}  and more"] if answer.related_truncated else []
        paragraphs.append("\n".join(["Flows around it:", *lines, *more]))
    if answer.limits:
        paragraphs.append(_listed("What could not be seen", answer.limits))
    return "\n\n".join(paragraphs) + "\n"


def _facts(answer: "ExplainResponse") -> Iterator[str]:
    yield f"Cause: {cause_name(answer)}"
    if answer.reason:
        where = f", in {visible(answer.function)}" if answer.function else ""
        line = f":{answer.line}" if answer.line else ""
        yield f"Reason: {visible(answer.reason)} ({answer.reason_number}){where}{line}"
    if answer.meaning:
        yield f"Meaning: {visible(answer.meaning)}"
    directions = {value.number: value.name for value in TrafficDirection.DESCRIPTOR.values}
    for one in answer.policies:
        name = "/".join(visible(part) for part in (one.policy.namespace, one.policy.name) if part)
        kind = f" ({visible(one.policy.kind)})" if one.policy.kind else ""
        direction = directions.get(one.direction, str(one.direction)).lower()
        yield f"Policy: {name}{kind} {'denied' if one.denied else 'allowed'} {direction}"
    if answer.HasField("path_mtu"):
        yield _path_mtu(answer.path_mtu)
    if answer.HasField("counts"):
        yield _counts(answer.counts)
    if answer.HasField("seen_since"):
        yield f"Looked at: events since {time_text(answer.seen_since)}"


def _path_mtu(path: "PathMtu") -> str:
    size = f"at most {path.mtu} bytes get through" if path.mtu else "packets are too big"
    larger = ""
    if path.larger_since:
        larger = (
            f"; {count_text(path.larger_since)} packets were larger since, "
            f"up to {path.largest_since} bytes"
        )
    return (
        f"Path MTU: {visible(path.router)} told {visible(path.sender)} that {size} "
        f"to {visible(path.destination)}{larger}"
    )


def _counts(counts: "DropCounts") -> str:
    return (
        f"How often: {counts.connection_drops:,} of {counts.connection_flows:,} "
        f"flows of this connection dropped; for this reason {count_text(counts.pair_same_reason)} "
        f"between the two addresses, {count_text(counts.node_same_reason)} on the node"
    )


def _listed(title: str, texts: "Iterator[str] | Any") -> str:
    return "\n".join([f"{title}:", *(f"  - {visible(text)}" for text in texts)])
