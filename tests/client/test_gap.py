from datetime import UTC, datetime

from palomar.gap import Gap

SINCE = datetime(2024, 3, 5, 10, 20, 30, tzinfo=UTC)
UNTIL = datetime(2024, 3, 5, 10, 20, 35, 500_000, tzinfo=UTC)


def gap(**changes: object) -> Gap:
    plain = {"since": SINCE, "until": UNTIL, "reason": "cut", "may_miss_flows": True}
    return Gap(**({"lost_events": None} | plain | changes))  # type: ignore[arg-type]


def test_a_gap_says_in_one_line_what_may_be_missing() -> None:
    span = "interrupted from 2024-03-05 10:20:30.000Z to 2024-03-05 10:20:35.500Z: "
    whole = gap(may_miss_flows=False, lost_events=0)
    assert str(whole) == f"{span}no flow is missing"
    assert str(gap()) == f"{span}flows may be missing"
    assert str(gap(lost_events=7)) == f"{span}up to 7 flows may be missing"
    assert str(gap(nodes=("c/a", "c/b"))) == f"{span}flows of c/a, c/b may be missing"
    restarted = gap(restarted=True)
    assert str(restarted) == f"{span}flows may be missing, as the server was restarted"


def test_the_begin_may_be_unknown() -> None:
    assert "from an unknown time to" in str(gap(since=None))
