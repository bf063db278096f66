"""What Hubble does in cases of getflows.jsonl and palomar does not.

Each defect is known by what it does to the responses, whatever the case is called, and undone in
what is expected: there stands then what should have come. Nothing else is excused.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter import compile_lists
from palomar_server.flow_mask import FlowMask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_proto.flow_filter import Event
    from tests.conformance.corpus import Case

_NOTICE_SOURCE = "HUBBLE_RING_BUFFER"
_FOLLOWED_MIN = 2


class Defect(enum.StrEnum):
    """What it is; the names that rules in docs/deliberate-differences.yaml have as `defect`."""

    ENDLESS = "losses without end"
    FULL_RING_NOTICE = "notice at the start of a full ring"
    SHORT_RING_FOLLOWER = "follower of a ring with fewer than two events"
    MASKED_RESPONSE = "time and node name of the response masked"


def undo_endless(case: Case, expected: dict[str, Any]) -> list[Defect]:
    """Expect nothing where Hubble sends loss notices for ever."""
    if not case.get("upstream_endless"):
        return []
    expected["responses"] = []
    return [Defect.ENDLESS]


def undo_full_ring_notice(case: Case, expected: dict[str, Any]) -> list[Defect]:
    """Leave out the notice that Hubble opens with where it comes to the start of a full ring."""
    responses = case["responses"]
    if not expected["responses"] or not _is_notice(responses[0]) or not _looks_back(case):
        return []
    del expected["responses"][0]
    if "before later" in expected:
        expected["before later"] -= 1
    return [Defect.FULL_RING_NOTICE]


def _is_notice(response: dict[str, Any]) -> bool:
    """Whether a response is a notice of the ring itself, and no event that was written to it."""
    notice = response.get("response", response).get("lost_events", {})
    return (notice.get("source"), notice.get("num_events_lost")) == (_NOTICE_SOURCE, "1")


def _looks_back(case: Case) -> bool:
    """Whether Hubble walks back over a ring that has been full, and may come to its start."""
    from_start = case["request"].get("first") and "since" not in case["request"]
    overwritten: bool = len(case["events"]) > case["capacity"]
    return overwritten and not from_start


def is_short_ring_follower(case: Case, expected: dict[str, Any]) -> bool:
    """Whether nothing comes to a follower because there were too few events when it started."""
    follows = case["request"].get("follow") and expected["error"] is None
    return bool(follows and len(case["events"]) < _FOLLOWED_MIN and not expected["responses"])


def followed(
    events: Sequence[Event], times_ns: Sequence[int], wanted: type[Any], request: Any
) -> tuple[list[tuple[int, Event]], bool]:
    """What a follower has to get of events written after it started: told anew, event by event.

    Args:
        events: all of them.
        times_ns: their times.
        wanted: the type of event that the method is about.
        request: of any of the methods.

    Returns:
        Those it gets with their index, as the request's mask leaves them; and whether the stream
        ends for one that is too late.
    """
    is_flows = wanted is flow_pb2.Flow
    matcher = compile_lists(*((request.whitelist, request.blacklist) if is_flows else ((), ())))
    mask = FlowMask(request.field_mask) if is_flows and request.field_mask.paths else None
    got: list[tuple[int, Event]] = []
    for index, (event, time_ns) in enumerate(zip(events, times_ns, strict=True)):
        if isinstance(event, flow_pb2.LostEvent):
            if is_flows:
                got.append((index, event))
            continue
        if request.HasField("until") and time_ns > request.until.ToNanoseconds():
            return got, True
        early = request.HasField("since") and time_ns < request.since.ToNanoseconds()
        if not early and isinstance(event, wanted) and matcher.matches(event):
            masked = mask is not None and isinstance(event, flow_pb2.Flow)
            got.append((index, mask.of(event) if masked and mask else event))
    return got, False


def undo_masked_responses(
    case: Case, expected: dict[str, Any], actual: dict[str, Any], origins: set[tuple[str, str]]
) -> list[Defect]:
    """Expect the response's own time and node, where Hubble's mask took them or parts of them.

    Args:
        case: the case.
        expected: what Hubble answered.
        actual: what came.
        origins: times and nodes of the case's flows; others are none to expect.
    """
    if not any("response" in one for one in case["responses"]):
        return []
    changed = False
    for wanted, got in zip(expected["responses"], actual["responses"], strict=False):
        origin = (got.get("time", ""), got.get("node_name", ""))
        if "flow" in wanted and origin in origins:
            changed |= origin != (wanted.get("time", ""), wanted.get("node_name", ""))
            wanted["time"], wanted["node_name"] = origin
    return [Defect.MASKED_RESPONSE] if changed else []
