"""Decoded flows against what Hubble's own decoder made of the same messages.

The cases are decode.jsonl of the conformance corpus. Its README tells how they were made; the rules
below tell which of them are compared, and of a flow which fields.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.decode.decoder import Decoder
from palomar_server.testing import Core, batch_of

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = (
    "verdict",
    "Type",
    "Summary",
    "IP",
    "l4",
    "ethernet",
    "event_type",
    "is_reply",
    "reply",
    "traffic_direction",
    "trace_reason",
    "trace_observation_point",
    "drop_reason",
    "drop_reason_desc",
)
"""Compared: all that comes from head and packet. Endpoints and interfaces of drops are not."""

IGMP, IPV4, IPV6, IPIP, VRRP = 2, 4, 41, 94, 112
ORIGINAL_IP = slice(32, 48)

Case = dict[str, Any]


def has_foreign_extension(_: Case, data: bytes) -> bool:
    return len(data) > 15 and data[15] != 0


def has_original_ip(_: Case, data: bytes) -> bool:
    return data[:1] == bytes([MessageType.TRACE]) and data[14:15] > b"\0" and any(data[ORIGINAL_IP])


def carries_a_protocol_not_decoded(_: Case, data: bytes) -> bool:
    rows = Decoder(Core().surroundings).decode(batch_of([data])).rows
    return any(row["protocol"] in (IGMP, IPV4, IPV6, IPIP, VRRP) for row in rows)


def is_rejected_for_options(case: Case, _: bytes) -> bool:
    """The options of a header contradict themselves; palomar does not look into options."""
    error = case["expect"].get("reject", {}).get("error", "")
    return any(word in error.lower() for word in ("option", "jumbo"))


def has_ipv6_payload_length_zero(case: Case, _: bytes) -> bool:
    """Deliberate: segmentation offload leaves a length of zero, and such packets are real."""
    return "IPv6 length 0" in case["expect"].get("reject", {}).get("error", "")


NOT_COMPARED = (
    has_foreign_extension,
    has_original_ip,
    carries_a_protocol_not_decoded,
    is_rejected_for_options,
    has_ipv6_payload_length_zero,
)


def cases(shared: Path, group: str) -> list[tuple[Case, bytes]]:
    """The cases of a group that are compared, with their payloads."""
    with (shared / "conformance" / "decode.jsonl").open() as lines:
        parsed = [json.loads(line) for line in lines]
    payloads = [
        (case, bytes.fromhex(case["data"]))
        for case in parsed
        if case["kind"] == "perf" and case["name"].startswith(group + "/")
    ]
    return [one for one in payloads if not any(rule(*one) for rule in NOT_COMPARED)]


def core_of(context: dict[str, Any]) -> Core:
    """A core that knows the endpoints of decode-context.json."""
    local = {
        f"local:{one['id']}": {
            "at_ns": 0,
            "addresses": one["ips"],
            "id": one["id"],
            "identity": one["identity"],
        }
        for one in context["endpoints"]
    }
    known = {ip for one in context["endpoints"] for ip in one["ips"]}
    remote = {
        one["cidr"]: {"at_ns": 0, "addresses": [one["cidr"]], "identity": one["identity"]}
        for one in context["ipcache"]
        if one["cidr"].partition("/")[0] not in known
    }
    core = Core()
    core.surroundings.apply({"endpoints": remote | local})
    return core


def compared(flow: flow_pb2.Flow) -> flow_pb2.Flow:
    part = flow_pb2.Flow()
    FieldMask(paths=FIELDS).MergeMessage(flow, part)
    return part


@pytest.mark.parametrize("group", ["trace", "drop", "packet", "truncated", "caplen"])
def test_flows_are_those_of_hubble(shared: Path, group: str) -> None:
    context = json.loads((shared / "conformance" / "decode-context.json").read_text())
    core = core_of(context)
    decoder = Decoder(core.surroundings)
    chosen = cases(shared, group)
    assert chosen
    wrong = []
    for case, data in chosen:
        rows = decoder.decode(batch_of([data])).rows
        found = [compared(core.encoder.flow(row)) for row in rows]
        expected = [
            compared(json_format.ParseDict(flow, flow_pb2.Flow()))
            for flow in (case["expect"].get("flow"),)
            if flow is not None
        ]
        if found != expected:
            wrong.append((case["name"], found, expected))
    assert wrong == []


@pytest.mark.parametrize("rule", NOT_COMPARED)
def test_every_rule_leaves_something_out(shared: Path, rule: Any) -> None:
    with (shared / "conformance" / "decode.jsonl").open() as lines:
        perf = (case for case in map(json.loads, lines) if case["kind"] == "perf")
        assert any(rule(case, bytes.fromhex(case["data"])) for case in perf)
