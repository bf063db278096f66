"""What context gives cause for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from palomar_proto.monitor.agent_notice import NoticeType, decode
from palomar_server.agent_notice import AgentNotices
from palomar_server.surroundings import ContextError

WEB = {
    "at_ns": 5,
    "addresses": ["192.0.2.1"],
    "id": 7,
    "labels": ["k8s:app=web"],
    "pod_name": "web-0",
    "namespace": "shop",
}
TOLD = {"id": 7, "labels": ["k8s:app=web"], "pod-name": "web-0", "namespace": "shop"}
CREATED, DELETED = NoticeType.ENDPOINT_CREATED, NoticeType.ENDPOINT_DELETED


def told(notices: AgentNotices, context: dict[str, Any]) -> list[tuple[int, int, Any]]:
    """(time, type, content) of each notice."""
    found = []
    for batch in notices.of(context):
        for row in range(len(batch)):
            notice = decode(batch.payload(row))
            found.append((batch.received_ns, notice.type, json.loads(notice.text)))
    return found


@pytest.fixture
def notices() -> AgentNotices:
    return AgentNotices()


@pytest.mark.parametrize(
    ("started_ns", "text"),
    [
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
        (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
        (0, "1970-01-01T00:00:00Z"),
    ],
)
def test_start_is_told_with_as_many_decimals_as_it_needs(
    notices: AgentNotices, started_ns: int, text: str
) -> None:
    assert told(notices, {"started_ns": started_ns}) == [
        (started_ns, NoticeType.AGENT_STARTED, {"time": text})
    ]


@pytest.mark.parametrize("value", ["soon", None, [], -1, 1 << 80])
def test_a_start_at_no_time_is_an_error(notices: AgentNotices, value: object) -> None:
    with pytest.raises(ContextError, match="started_ns of a context object"):
        notices.of({"started_ns": value})


def test_context_without_news_is_silent(notices: AgentNotices) -> None:
    far = {**WEB, "id": 0}
    context = {"links": {"7": None}, "endpoints": {"far": far, "gone": {"removed_ns": 4}}}
    assert notices.of(context) == []


def test_local_endpoints_are_told_once_when_they_come_and_go(notices: AgentNotices) -> None:
    assert told(notices, {"endpoints": {"web": WEB}}) == [(5, CREATED, TOLD)]
    # Another address is no news.
    again = {**WEB, "at_ns": 6, "addresses": ["192.0.2.2"]}
    assert told(notices, {"endpoints": {"web": again}}) == []
    assert told(notices, {"endpoints": {"web": {"removed_ns": 9}}}) == [(9, DELETED, TOLD)]
    assert told(notices, {"endpoints": {"web": {"removed_ns": 10}}}) == []


def test_an_endpoint_that_is_not_local_any_more_was_deleted(notices: AgentNotices) -> None:
    notices.of({"endpoints": {"web": WEB}})
    far = {**WEB, "at_ns": 8, "id": 0}
    assert told(notices, {"endpoints": {"web": far}}) == [(8, DELETED, TOLD)]


def test_one_that_becomes_another_is_deleted_and_created(notices: AgentNotices) -> None:
    notices.of({"endpoints": {"netns:web": {**WEB, "pod_name": "web"}}})
    moved = {"netns:web": {"removed_ns": 8}, "pod:web": {**WEB, "at_ns": 8}}
    assert told(notices, {"endpoints": moved}) == [
        (8, DELETED, {**TOLD, "pod-name": "web"}),
        (8, CREATED, TOLD),
    ]
    renamed = {**WEB, "at_ns": 9, "pod_name": "web-1"}
    assert [kind for _, kind, _ in told(notices, {"endpoints": {"pod:web": renamed}})] == [
        DELETED,
        CREATED,
    ]


def test_an_id_has_one_endpoint(notices: AgentNotices) -> None:
    for number in range(3):
        notices.of({"endpoints": {f"web-{number}": WEB}})
    assert len(notices._local) == len(notices._ids) == 1
    # The first two have been deleted already.
    assert told(notices, {"endpoints": {"web-0": {"removed_ns": 9}}}) == []
    assert len(told(notices, {"endpoints": {"web-2": {"removed_ns": 9}}})) == 1


def test_empty_names_are_left_out(notices: AgentNotices) -> None:
    bare = {"at_ns": 5, "addresses": [], "id": 1}
    assert told(notices, {"endpoints": {"bare": bare}}) == [(5, CREATED, {"id": 1, "labels": []})]


def test_notices_of_one_time_share_a_batch(notices: AgentNotices) -> None:
    pods = {f"pod-{number}": {**WEB, "id": number, "at_ns": number // 3} for number in range(1, 6)}
    assert [(batch.received_ns, len(batch)) for batch in notices.of({"endpoints": pods})] == [
        (0, 2),
        (1, 3),
    ]
