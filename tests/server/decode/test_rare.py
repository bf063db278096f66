from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.monitor.agent_notice import NoticeType, encode
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.options import DecodeOptions, Redaction
from palomar_server.decode.rare import RareDecoder
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.table import FLOW, Kind
from tests.conformance.context import context_of

if TYPE_CHECKING:
    from pathlib import Path

NOW_NS = 1_700_000_000_000_000_000
EVENTS: dict[str, Any] = {
    "flow": flow_pb2.Flow,
    "agent_event": flow_pb2.AgentEvent,
    "debug_event": flow_pb2.DebugEvent,
}


def decoder(options: DecodeOptions | None = None) -> RareDecoder:
    return RareDecoder(Surroundings(EndpointTable()), options or DecodeOptions())


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (struct.pack("=BBHIIII", 2, 1, 0, 0, 0, 0, 0), Kind.DEBUG),
        (encode(NoticeType.ENDPOINT_CREATED, {}), Kind.AGENT),
    ],
)
def test_kinds_are_told_by_their_first_byte(payload: bytes, kind: Kind) -> None:
    row = np.zeros(1, FLOW)[0]
    fault, message = decoder().decode(payload, 0, NOW_NS, row)
    assert fault is Malformed.NONE
    assert message
    assert row["kind"] == kind


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"", Malformed.EMPTY),
        (b"\x04" * 40, Malformed.UNKNOWN_TYPE),
        (b"\x81", Malformed.UNKNOWN_TYPE),
        (b"\x82" + bytes(63), Malformed.UNKNOWN_TYPE),
        (b"\x81\x01", Malformed.GOB),
        (b"\x82\xff", Malformed.GOB),
        (b"\x02" * 19, Malformed.HEAD_TOO_SHORT),
    ],
)
def test_malformed(payload: bytes, fault: Malformed) -> None:
    assert decoder().decode(payload, 0, NOW_NS, np.zeros(1, FLOW)[0]) == (fault, b"")


@given(st.sampled_from([b"\x02", b"\x81", b"\x82"]), st.binary(max_size=200), st.integers(0, 65535))
def test_any_bytes_are_an_event_or_malformed(first: bytes, rest: bytes, cpu: int) -> None:
    fault, message = decoder().decode(first + rest, cpu, NOW_NS, np.zeros(1, FLOW)[0])
    assert bool(fault) is not bool(message)


def options_of(case: dict[str, Any]) -> DecodeOptions:
    redact = case.get("options", {}).get("redact")
    if redact is None:
        return DecodeOptions()
    for name in ("allow_headers", "deny_headers"):
        redact[name] = frozenset(map(str.lower, redact[name] or ()))
    return DecodeOptions(redact=Redaction(**redact))


@pytest.mark.parametrize("group", ["l7", "agent", "debug-msg"])
def test_events_are_those_of_hubble(shared: Path, group: str) -> None:
    folder = shared / "conformance"
    surroundings = Surroundings(EndpointTable())
    surroundings.apply(context_of(json.loads((folder / "decode-context.json").read_text())))
    with (folder / "decode.jsonl").open() as lines:
        parsed = [json.loads(line) for line in lines]
    cases = [case for case in parsed if case["name"].startswith(f"{group}/")]
    assert cases
    wrong = []
    for case in cases:
        rare = RareDecoder(surroundings, options_of(case))
        for step in case.get("steps", [case]):
            row = np.zeros(1, FLOW)[0]
            data = bytes.fromhex(step["data"])
            fault, message = rare.decode(data, step.get("cpu", 0), NOW_NS, row)
            ((name, content),) = step["expect"].items()
            if name == "reject":
                as_expected = bool(fault)
            else:
                event = json_format.ParseDict(content, EVENTS[name]())
                as_expected = not fault and EVENTS[name].FromString(message) == event
            if not as_expected:
                wrong.append((case["name"], fault, message, step["expect"]))
    assert wrong == []
