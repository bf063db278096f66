"""Raw monitor payloads as text: a line of what the head says, and the bytes in hexadecimal.

In: payloads of a monitor socket. Out: text, or one JSON object a line. Used by `palomar monitor`.
"""

import json
from typing import Any

from palomar.event_types import OBSERVATION_POINTS
from palomar.printers.escape import visible
from palomar_proto.gob import GobError
from palomar_proto.monitor import agent_notice, head
from palomar_proto.monitor.payload import LOST, SAMPLE, Payload
from palomar_proto.monitor.reason_text import reason_text

_HEX_LINE_BYTES = 16
_HEX_HALF = 8
_PRINTABLE = bytes(code if 0x20 <= code < 0x7F else ord(".") for code in range(256))  # noqa: PLR2004 - ASCII


def hex_dump(data: bytes) -> str:
    """Offset, bytes in hexadecimal and as ASCII, 16 to a line, as `hexdump -C` has them."""
    lines = []
    for start in range(0, len(data), _HEX_LINE_BYTES):
        row = data[start : start + _HEX_LINE_BYTES]
        left, right = row[:_HEX_HALF].hex(" "), row[_HEX_HALF:].hex(" ")
        text = row.translate(_PRINTABLE).decode("ascii")
        lines.append(f"{start:08x}  {left:<23}  {right:<23}  |{text}|\n")
    return "".join(lines)


def payload_text(payload: Payload, *, with_bytes: bool) -> str:
    """A payload for people.

    Args:
        payload: What to show.
        with_bytes: Whether the hex dump follows the line.
    """
    if payload.type == LOST:
        return f"CPU {payload.cpu:02}: LOST {payload.lost} events\n"
    if payload.type != SAMPLE:
        return f"CPU {payload.cpu:02}: payload of unknown type {payload.type}\n"
    line = f"CPU {payload.cpu:02}: {_head_text(payload.data)}, {len(payload.data)} bytes\n"
    return line + hex_dump(payload.data) if with_bytes else line


def payload_json(payload: Payload) -> str:
    """A payload as a line of JSON; keys without a value are left out."""
    shown: dict[str, Any] = {"cpu": payload.cpu, "payload_type": payload.type}
    if payload.lost:
        shown["lost"] = payload.lost
    if (first := head.read_head(payload.data)) is not None:
        shown["type_name"] = _type_name(first)
        shown |= {name: value for name, value in first._asdict().items() if value is not None}
        if name := _subtype_name(first, payload.data):
            shown["subtype_name"] = name
    if (notice := _notice(payload.data)) is not None:
        shown["agent_text"] = notice.text
    if payload.data:
        shown["data"] = payload.data.hex()
    return json.dumps(shown, separators=(",", ":")) + "\n"


def _head_text(message: bytes) -> str:
    first = head.read_head(message)
    if first is None:
        return "empty message"
    parts = [_type_name(first)]
    if name := _subtype_name(first, message):
        parts[0] += f" {name}"
    elif first.subtype is not None:
        parts[0] += f" subtype {first.subtype}"
    if first.version is not None:
        parts.append(f"version {first.version}")
    if first.ext_version:
        parts.append(f"extension 0x{first.ext_version:02x}")
    if first.endpoint is not None:
        parts.append(f"endpoint {first.endpoint}")
    if first.hash is not None:
        parts.append(f"hash 0x{first.hash:x}")
    if first.original_bytes is not None:
        parts.append(f"packet {first.captured_bytes} of {first.original_bytes} bytes")
    if (notice := _notice(message)) is not None:
        parts.append(visible(notice.text))
    return ", ".join(parts)


def _type_name(first: head.Head) -> str:
    return head.NAMES.get(first.type, f"type {first.type}")


def _subtype_name(first: head.Head, message: bytes) -> str:
    if first.subtype is None:
        return ""
    if first.type == head.TRACE and first.subtype < len(OBSERVATION_POINTS):
        return OBSERVATION_POINTS[first.subtype]
    if first.type == head.AGENT:
        return _notice_name(first.subtype)
    if (reason := head.kernel_drop_reason(message)) is not None:
        return f"(kernel reason {reason})"
    if first.type == head.DROP:
        return f"({reason_text(first.subtype)})"
    return ""


def _notice(message: bytes) -> agent_notice.AgentNotice | None:
    """The agent's notice, if it is one that can be read."""
    if message[:1] != bytes((head.AGENT,)):
        return None
    try:
        return agent_notice.decode(message)
    except GobError:
        return None


def _notice_name(number: int) -> str:
    try:
        return agent_notice.NoticeType(number).name.lower().replace("_", "-")
    except ValueError:
        return ""
