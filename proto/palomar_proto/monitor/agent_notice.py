"""Notices of the agent itself, as monitor messages: what it did, not what packets did.

A message is the byte 130 and the gob of `AgentNotify`, whose text is a JSON object that depends on
the type. Rule: pkg/monitor/api of Cilium.
"""

from __future__ import annotations

import enum
import json
from typing import Any, NamedTuple

from palomar_proto.gob import Basic, Encoder, GobError, Struct, decode_value

MESSAGE_TYPE = 130
"""First byte of the message."""

AGENT_NOTIFY = Struct("AgentNotify", (("Type", Basic.UINT), ("Text", Basic.STRING)))
"""The type as Go has it."""

_HEAD = bytes((MESSAGE_TYPE,))


class NoticeType(enum.IntEnum):
    """What happened. Not the numbers of flow.AgentEventType: 3 to 6 are others there."""

    UNSPECIFIED = 0
    MESSAGE = 1
    AGENT_STARTED = 2
    ENDPOINT_REGENERATE_SUCCESS = 3
    ENDPOINT_REGENERATE_FAILURE = 4
    POLICY_UPDATED = 5
    POLICY_DELETED = 6
    ENDPOINT_CREATED = 7
    ENDPOINT_DELETED = 8
    IPCACHE_UPSERTED = 9
    IPCACHE_DELETED = 10


class AgentNotice(NamedTuple):
    """A notice."""

    type: int
    """A `NoticeType`, or a number of a later release."""
    text: str
    """A JSON object."""


def encode(notice_type: int, content: dict[str, Any]) -> bytes:
    """A notice as a monitor message."""
    encoder = Encoder(AGENT_NOTIFY)
    text = json.dumps(content, separators=(",", ":"))
    return _HEAD + encoder.descriptions + encoder.encode({"Type": notice_type, "Text": text})


def decode(message: bytes) -> AgentNotice:
    """The notice in a monitor message; what follows it is padding.

    Raises:
        GobError: it is no notice, or damaged.
    """
    if message[:1] != _HEAD:
        raise GobError(f"a notice of the agent begins with the byte {MESSAGE_TYPE}")
    value = decode_value(message[1:], AGENT_NOTIFY)
    return AgentNotice(value.get("Type", 0), value.get("Text", ""))
