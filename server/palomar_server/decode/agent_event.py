"""Notices of the agent to flow.AgentEvent: it started, policies, endpoints and addresses changed.

A notice has a type and a JSON text. Which of Go's structs the text was is not told: a text that
lacks what the struct always has, or has what it never has, is that of another struct, and shown as
it is, as are types that are not known. Rules: Hubble's agent parser, pkg/monitor/api of Cilium.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from palomar_proto.flow import flow_pb2
from palomar_proto.gob import GobError
from palomar_proto.monitor import agent_notice
from palomar_proto.monitor.agent_notice import MESSAGE_TYPE, AgentNotice, NoticeType
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.timestamp_text import parse_time
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

_NOTICE_TYPE_BITS = 32
_SURROGATES = re.compile("[\ud800-\udfff]")


class _Unexpected(Exception):  # noqa: N818 - no error: such a notice is shown as it is
    """The text is not that of the expected struct."""


class _Struct(NamedTuple):
    """One of Go's structs as JSON."""

    field: str
    """Of flow.AgentEvent."""
    fill: Callable[[Any, dict[str, Any]], None]
    """Puts the JSON into the message of that field."""
    always: frozenset[str]
    """Names that are never left out."""
    optional: frozenset[str]


def decode_agent_event(payload: bytes, row: Any) -> tuple[Malformed, bytes]:
    """Decode one notice.

    Args:
        payload: the message.
        row: its row of the flow table, to fill.

    Returns:
        What is wrong with it, and a serialised flow.AgentEvent.
    """
    try:
        notice = agent_notice.decode(payload)
    except GobError:
        return Malformed.GOB, b""
    if notice.type >= 1 << _NOTICE_TYPE_BITS:
        return Malformed.GOB, b""
    event = _event(notice)
    row["kind"] = int(Kind.AGENT)
    row["event_type"] = MESSAGE_TYPE
    row["event_subtype"] = event.type
    return Malformed.NONE, event.SerializeToString()


def _event(notice: AgentNotice) -> flow_pb2.AgentEvent:
    event_type, struct = _STRUCTS.get(notice.type, (flow_pb2.AGENT_EVENT_UNKNOWN, None))
    if struct is not None:
        event = flow_pb2.AgentEvent(type=event_type)
        message = getattr(event, struct.field)
        # Even if nothing is in it, it says which kind of event this is.
        message.SetInParent()
        try:
            struct.fill(message, _content(notice.text, struct))
        except _Unexpected:
            pass
        else:
            return event
    event = flow_pb2.AgentEvent()
    event.unknown.type = str(notice.type)
    event.unknown.notification = notice.text
    return event


def _content(text: str, struct: _Struct) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Unexpected from error
    if not isinstance(content, dict):
        raise _Unexpected
    names = content.keys()
    if not struct.always <= names or not names <= struct.always | struct.optional:
        raise _Unexpected
    return content


def _string(content: dict[str, Any], name: str) -> str:
    value = content.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Unexpected
    # JSON can spell halves of characters, which protobuf cannot.
    return _SURROGATES.sub("\ufffd", value)


def _strings(content: dict[str, Any], name: str) -> list[str]:
    values = content.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise _Unexpected
    return [_string({name: value}, name) for value in values]


def _integer(content: dict[str, Any], name: str, lowest: int, bits: int) -> int:
    """A number of at least `lowest` and less than 2^`bits`."""
    value = content.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < 1 << bits:
        raise _Unexpected
    return value


def _fill_start(message: flow_pb2.TimeNotification, content: dict[str, Any]) -> None:
    try:
        time_ns = parse_time(_string(content, "time"))
    except ValueError:
        return
    message.time.seconds, message.time.nanos = divmod(time_ns, 1_000_000_000)


def _fill_policy(message: flow_pb2.PolicyUpdateNotification, content: dict[str, Any]) -> None:
    message.labels.extend(_strings(content, "labels"))
    message.revision = _integer(content, "revision", 0, 64)
    message.rule_count = _integer(content, "rule_count", -(1 << 63), 63)


def _fill_regeneration(
    message: flow_pb2.EndpointRegenNotification, content: dict[str, Any]
) -> None:
    message.id = _integer(content, "id", 0, 64)
    message.labels.extend(_strings(content, "labels"))
    message.error = _string(content, "error")


def _fill_endpoint(message: flow_pb2.EndpointUpdateNotification, content: dict[str, Any]) -> None:
    # An endpoint has labels at the least, if only reserved ones; its regeneration may be told
    # without.
    if content.keys() == {"id"}:
        raise _Unexpected
    message.id = _integer(content, "id", 0, 64)
    message.labels.extend(_strings(content, "labels"))
    message.error = _string(content, "error")
    message.pod_name = _string(content, "pod-name")
    message.namespace = _string(content, "namespace")


def _fill_address(message: flow_pb2.IPCacheNotification, content: dict[str, Any]) -> None:
    message.cidr = _string(content, "cidr")
    message.identity = _integer(content, "id", 0, 32)
    if content.get("old-id") is not None:
        message.old_identity.value = _integer(content, "old-id", 0, 32)
    message.host_ip = _string(content, "host-ip")
    message.old_host_ip = _string(content, "old-host-ip")
    message.encrypt_key = _integer(content, "encrypt-key", 0, 8)
    message.namespace = _string(content, "namespace")
    message.pod_name = _string(content, "pod-name")


_REGENERATION_NAMES = frozenset({"id", "labels", "error"})
_START = _Struct("agent_start", _fill_start, frozenset({"time"}), frozenset())
_POLICY = _Struct(
    "policy_update", _fill_policy, frozenset({"rule_count"}), frozenset({"labels", "revision"})
)
_REGENERATION = _Struct("endpoint_regenerate", _fill_regeneration, frozenset(), _REGENERATION_NAMES)
_ENDPOINT = _Struct(
    "endpoint_update",
    _fill_endpoint,
    frozenset(),
    _REGENERATION_NAMES | {"pod-name", "namespace"},
)
_ADDRESS = _Struct(
    "ipcache_update",
    _fill_address,
    frozenset({"cidr"}),
    frozenset({"id", "old-id", "host-ip", "old-host-ip", "encrypt-key", "namespace", "pod-name"}),
)
_STRUCTS: dict[int, tuple[flow_pb2.AgentEventType.ValueType, _Struct]] = {
    NoticeType.AGENT_STARTED: (flow_pb2.AGENT_STARTED, _START),
    NoticeType.POLICY_UPDATED: (flow_pb2.POLICY_UPDATED, _POLICY),
    NoticeType.POLICY_DELETED: (flow_pb2.POLICY_DELETED, _POLICY),
    NoticeType.ENDPOINT_REGENERATE_SUCCESS: (
        flow_pb2.ENDPOINT_REGENERATE_SUCCESS,
        _REGENERATION,
    ),
    NoticeType.ENDPOINT_REGENERATE_FAILURE: (
        flow_pb2.ENDPOINT_REGENERATE_FAILURE,
        _REGENERATION,
    ),
    NoticeType.ENDPOINT_CREATED: (flow_pb2.ENDPOINT_CREATED, _ENDPOINT),
    NoticeType.ENDPOINT_DELETED: (flow_pb2.ENDPOINT_DELETED, _ENDPOINT),
    NoticeType.IPCACHE_UPSERTED: (flow_pb2.IPCACHE_UPSERTED, _ADDRESS),
    NoticeType.IPCACHE_DELETED: (flow_pb2.IPCACHE_DELETED, _ADDRESS),
}
"""By the notice's type: the event's, and what its text is."""
