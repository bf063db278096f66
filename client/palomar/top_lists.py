"""The lists of `palomar top`: who has the most flows in the last moments, and how many are drops.

In: the name of a list, and a client. Out: its rows. palomard counts (Summarize), this only brings
together what it counted for the two ends and for the verdicts. Used by `top`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from palomar import event_types
from palomar.groupings import parse_grouping
from palomar_proto.flow.flow_pb2 import EventTypeFilter, FlowFilter
from palomar_proto.palomar.v1.flow_field_pb2 import (
    FLOW_FIELD_DROP_REASON,
    FLOW_FIELD_PORT,
    FLOW_FIELD_VERDICT,
)
from palomar_proto.palomar.v1.summary_pb2 import Grouping

if TYPE_CHECKING:
    from palomar.client import Client
    from palomar_proto.palomar.v1.flow_scope_pb2 import Coverage
    from palomar_proto.palomar.v1.summary_pb2 import SummarizeResponse, Totals

_GROUPS_MAX = 1_000
"""The server's limit; more rows than are shown, since a value's verdicts are rows of their own."""

_DROPPED = "DROPPED"

_LEFT_OUT = {
    # The port of who asked is a number that was free; only that of who answers says something.
    FLOW_FIELD_PORT: FlowFilter(reply=[True]),
    # A verdict of policy and the drop that it led to are two events of one packet.
    FLOW_FIELD_DROP_REASON: FlowFilter(
        event_type=[EventTypeFilter(type=event_types.POLICY_VERDICT)]
    ),
}
"""What is not counted, by the field that is grouped by."""


@dataclass(slots=True)
class TopRow:
    """What the flows with one value sum up to."""

    value: str
    flows: int = 0
    drops: int = 0
    bytes: int = 0

    def add(self, totals: "Totals", *, dropped: bool) -> None:
        """Count some of them."""
        self.flows += totals.flows
        self.bytes += totals.bytes
        self.drops += totals.flows if dropped else 0


@dataclass(slots=True)
class TopList:
    """One list, counted.

    Attributes:
        title: What its values are.
        rows: Those with the most flows first.
        coverage: What the figures rest on.
    """

    title: str
    rows: list[TopRow] = field(default_factory=list)
    coverage: "Coverage | None" = None


def count_list(client: "Client", name: str, scope: Mapping[str, Any], rows_max: int) -> TopList:
    """Count one list.

    Args:
        client: Whom to ask.
        name: What to group by, as `palomar.groupings` reads it: `pod` counts both ends together.
        scope: Keywords that say which flows.
        rows_max: How many rows to give at most.

    Raises:
        PalomarError: See `palomar.errors`.
    """
    top = TopList(title=name.strip().lower())
    found: dict[str, TopRow] = {}
    for grouping in parse_grouping(name):
        left_out = _LEFT_OUT.get(grouping.field)
        exclude = [*scope.get("exclude", ()), *([left_out] if left_out else [])]
        answer = client.summarize(
            grouping,
            Grouping(field=FLOW_FIELD_VERDICT),
            top=_GROUPS_MAX,
            **{**scope, "exclude": exclude},
        )
        _gather(answer, found, drops_only=grouping.field == FLOW_FIELD_DROP_REASON)
        top.coverage = answer.coverage
    top.rows = sorted(found.values(), key=lambda row: (-row.flows, row.value))[:rows_max]
    return top


def _gather(answer: "SummarizeResponse", found: dict[str, TopRow], *, drops_only: bool) -> None:
    for group in answer.groups:
        value, verdict, *_ = *group.values, "", ""  # a stranger's answer may have fewer
        dropped = verdict == _DROPPED
        if value and (dropped or not drops_only):
            found.setdefault(value, TopRow(value)).add(group.totals, dropped=dropped)
