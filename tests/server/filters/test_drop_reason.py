from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import selected


def test_drops_match_by_reason() -> None:
    rows = flow_rows(3, verdict=flow_pb2.DROPPED, drop_reason=[133, 181, 1_002])
    assert selected(rows, drop_reason_desc=[181, 1_002]) == [1, 2]


def test_reasons_have_a_sign_as_in_the_message() -> None:
    rows = flow_rows(2, verdict=flow_pb2.DROPPED, drop_reason=[(1 << 32) - 133, 133])
    assert selected(rows, drop_reason_desc=[-133]) == [0]


def test_what_was_not_dropped_has_no_reason() -> None:
    rows = flow_rows(2, verdict=[flow_pb2.FORWARDED, flow_pb2.DROPPED], drop_reason=[0, 0])
    assert selected(rows, drop_reason_desc=[flow_pb2.DROP_REASON_UNKNOWN]) == [1]
