"""Defects are undone where they show, and nothing besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.getflows_cases import run
from tests.conformance.getflows_defects import Defect

if TYPE_CHECKING:
    from tests.conformance.corpus import Case

NOTICE = {"lost_events": {"num_events_lost": "1", "source": "HUBBLE_RING_BUFFER"}}


def flow(second: int) -> dict[str, Any]:
    time = f"2024-03-05T10:00:{second:02d}.500Z"
    content = {"time": time, "node_name": "default/n", "uuid": f"u{second}", "verdict": "DROPPED"}
    return {"flow": content, "time": time}


def case(
    events: int, *responses: Any, capacity: int = 3, later: int | None = None, **request: Any
) -> Case:
    made: dict[str, Any] = {
        "rpc": "GetFlows",
        "capacity": capacity,
        "error": None,
        "request": request,
        "name": "any/name",
        "events": [flow(one) for one in range(events)],
        "responses": [{"event": one} if isinstance(one, int) else one for one in responses],
    }
    if later is not None:
        made["later_events"] = [flow(one) for one in range(events, events + later)]
        made |= {"request": {"follow": True, **request}, "responses_before_later": 0}
        made["ended_by_server"] = False
    return made


def masked(**told: Any) -> dict[str, Any]:
    return {"response": {"flow": {"uuid": "u0"}, **told}}


EXCUSED = [
    (case(5, NOTICE, 1, 2, 3), Defect.FULL_RING_NOTICE),
    (case(0, NOTICE, NOTICE, first=True) | {"upstream_endless": True}, Defect.ENDLESS),
    (case(0, later=4), Defect.SHORT_RING_FOLLOWER),
    (case(1, later=2, until="2024-03-05T10:00:01Z"), Defect.SHORT_RING_FOLLOWER),
    (case(1, later=1, field_mask={"paths": ["uuid"]}), Defect.SHORT_RING_FOLLOWER),
    (case(2, masked(), field_mask={"paths": ["uuid"]}), Defect.MASKED_RESPONSE),
    (
        case(2, masked(time="2024-03-05T10:00:00Z"), field_mask={"paths": ["uuid"]}),
        Defect.MASKED_RESPONSE,
    ),
]
NOT_EXCUSED = [
    case(3, NOTICE, 0, 1),
    case(5, NOTICE, 2, 3),
    case(5, NOTICE, 1, 2, 3, first=True),
    case(3, later=2),
    case(0, later=4) | {"ended_by_server": True, "responses": [{"event": 0}]},
    case(2, {"response": {"flow": {"uuid": "u1"}}}, field_mask={"paths": ["uuid"]}),
]


@pytest.mark.parametrize(("shown", "defect"), EXCUSED)
def test_a_defect_is_undone_whatever_the_case_is_called(shown: Case, defect: Defect) -> None:
    comparison = run(shown)
    assert comparison.expected == comparison.actual
    assert comparison.defects == (defect,)


@pytest.mark.parametrize("shown", NOT_EXCUSED)
def test_nothing_else_is_excused(shown: Case) -> None:
    comparison = run(shown)
    assert comparison.expected != comparison.actual
