from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.gob import Encoder
from palomar_proto.monitor.agent_notice import AGENT_NOTIFY, NoticeType, encode
from palomar_server.decode.agent_event import decode_agent_event
from palomar_server.decode.malformed import Malformed
from palomar_server.table import FLOW, Kind

ENCODER = Encoder(AGENT_NOTIFY)


def payload(notice_type: int, text: str) -> bytes:
    value = {"Type": notice_type, "Text": text}
    return b"\x82" + ENCODER.descriptions + ENCODER.encode(value)


def decoded(data: bytes) -> flow_pb2.AgentEvent:
    fault, message = decode_agent_event(data, np.zeros(1, FLOW)[0])
    assert fault is Malformed.NONE
    return flow_pb2.AgentEvent.FromString(message)


def test_start() -> None:
    event = decoded(encode(NoticeType.AGENT_STARTED, {"time": "2023-11-14T22:13:20.5Z"}))
    assert event.type == flow_pb2.AGENT_STARTED
    time = event.agent_start.time
    assert (time.seconds, time.nanos) == (1_700_000_000, 500_000_000)


def test_start_at_an_unreadable_time_is_a_start() -> None:
    event = decoded(encode(NoticeType.AGENT_STARTED, {"time": "yesterday"}))
    assert event.WhichOneof("notification") == "agent_start"
    assert not event.agent_start.HasField("time")


def test_policies() -> None:
    content: dict[str, Any] = {"labels": ["a"], "revision": 2, "rule_count": -1}
    event = decoded(encode(NoticeType.POLICY_DELETED, content))
    assert event.type == flow_pb2.POLICY_DELETED
    update = event.policy_update
    assert (list(update.labels), update.revision, update.rule_count) == (["a"], 2, -1)


def test_endpoints() -> None:
    content = {"id": 7, "labels": ["a"], "pod-name": "p", "namespace": "n"}
    event = decoded(encode(NoticeType.ENDPOINT_CREATED, content))
    assert event.type == flow_pb2.ENDPOINT_CREATED
    update = event.endpoint_update
    assert (update.id, update.pod_name, update.namespace) == (7, "p", "n")
    event = decoded(encode(NoticeType.ENDPOINT_REGENERATE_FAILURE, {"id": 7, "error": "e"}))
    assert event.type == flow_pb2.ENDPOINT_REGENERATE_FAILURE
    assert (event.endpoint_regenerate.id, event.endpoint_regenerate.error) == (7, "e")


def test_addresses() -> None:
    content = {"cidr": "192.0.2.0/24", "id": 5, "host-ip": "192.0.2.1", "encrypt-key": 255}
    event = decoded(encode(NoticeType.IPCACHE_UPSERTED, content))
    update = event.ipcache_update
    assert (update.cidr, update.identity, update.host_ip) == ("192.0.2.0/24", 5, "192.0.2.1")
    assert (update.encrypt_key, update.HasField("old_identity")) == (255, False)
    event = decoded(encode(NoticeType.IPCACHE_DELETED, content | {"old-id": 0}))
    assert event.ipcache_update.HasField("old_identity")


@pytest.mark.parametrize(
    ("notice_type", "text"),
    [
        # Types that are not known.
        (0, "null"),
        (11, '{"a":1}'),
        (4_294_967_295, ""),
        # Texts of another struct.
        (2, '{"rule_count":1}'),
        (5, '{"time":"x"}'),
        (7, '{"id":4}'),
        (3, '{"id":4,"pod-name":"x"}'),
        (9, '{"id":4}'),
        # Texts that are none, or have another type in them.
        (2, "{"),
        (5, "[]"),
        (5, '{"rule_count":"1"}'),
        (5, '{"rule_count":true}'),
        (5, '{"rule_count":9223372036854775808}'),
        (5, '{"rule_count":1,"labels":"x"}'),
        (7, '{"id":-1,"labels":[]}'),
        (7, '{"labels":[1]}'),
        (9, '{"cidr":"","encrypt-key":256}'),
        (7, "[" * 100_000),
    ],
)
def test_all_else_is_shown_as_it_is(notice_type: int, text: str) -> None:
    event = decoded(payload(notice_type, text))
    assert event.type == flow_pb2.AGENT_EVENT_UNKNOWN
    assert (event.unknown.type, event.unknown.notification) == (str(notice_type), text)


def test_halves_of_characters_are_replaced() -> None:
    event = decoded(payload(7, r'{"pod-name":"\ud800x"}'))
    assert event.endpoint_update.pod_name == "\ufffdx"


def test_row_says_what_filters_ask() -> None:
    row = np.zeros(1, FLOW)[0]
    decode_agent_event(payload(3, "{}"), row)
    columns = [int(row[column]) for column in ("kind", "event_type", "event_subtype")]
    # The number of the API, which is not the notice's.
    assert columns == [Kind.AGENT, 130, flow_pb2.ENDPOINT_REGENERATE_SUCCESS]


def test_what_is_no_notice_is_malformed() -> None:
    row = np.zeros(1, FLOW)[0]
    assert decode_agent_event(b"\x82\x01\x02", row) == (Malformed.GOB, b"")
    assert decode_agent_event(payload(1 << 32, ""), row) == (Malformed.GOB, b"")


@given(st.integers(0, 12), st.text())
def test_any_text_is_an_event(notice_type: int, text: str) -> None:
    decoded(payload(notice_type, text))


NAMES = st.sampled_from(
    ["id", "labels", "error", "time", "cidr", "old-id", "host-ip", "rule_count", "encrypt-key"]
)
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text() | st.integers())


@given(st.integers(0, 12), st.dictionaries(NAMES, VALUES))
def test_any_object_is_an_event(notice_type: int, content: dict[str, Any]) -> None:
    decoded(encode(notice_type, content))
