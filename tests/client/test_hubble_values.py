import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar import hubble_values
from palomar.errors import InvalidRequest
from palomar_proto.flow.flow_pb2 import FlowFilter, TCPFlags, Verdict

INVALID = 'strconv.ParseUint: parsing "%s": invalid syntax'


def test_names_are_those_of_the_messages() -> None:
    assert set(hubble_values._VERDICTS) == set(Verdict.keys())
    assert {field.name for field in TCPFlags.DESCRIPTOR.fields} == set(hubble_values.TCP_FLAGS)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (hubble_values.verdict, "DROPPED", "DROPPED"),
        (hubble_values.drop_reason, "POLICY_DENY", "POLICY_DENY"),
        (hubble_values.direction, "Egress", "EGRESS"),
        (hubble_values.ip_version, "IP6", "IPv6"),
        (hubble_values.ip_version, "bogus", "IP_NOT_USED"),
        (hubble_values.tcp_flags, "syn,ACK", {"SYN": True, "ACK": True}),
        (hubble_values.http_header, " a:b:c ", {"key": " a", "value": "b:c "}),
        (hubble_values.ip_trace_id, "42", 42),
        (hubble_values.identity, "world-ipv6", 10),
        (hubble_values.identity, "0x10", 16),
        (hubble_values.workload, "/x", {"kind": "", "name": "x"}),
        (hubble_values.workload, "x", {"name": "x"}),
        (hubble_values.interface, "", {"name": ""}),
        (hubble_values.event_type, "trace:to-endpoint",
         {"type": 4, "match_sub_type": True, "sub_type": 0}),
        (hubble_values.event_type, "agent:ipcache-deleted",
         {"type": 130, "match_sub_type": True, "sub_type": 10}),
        (hubble_values.event_type, "4:300", {"type": 4, "match_sub_type": True, "sub_type": 300}),
        (hubble_values.event_type, "4294967295", {"type": -1}),
    ],
)  # fmt: skip
def test_values_are_read_as_hubble_does(
    parse: Callable[[str], object], text: str, value: object
) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (hubble_values.verdict, "dropped", "invalid --verdict value: dropped"),
        (hubble_values.drop_reason, "", "empty --drop-reason-desc value"),
        (hubble_values.drop_reason, "133", "invalid --drop-reason-desc value: 133"),
        (hubble_values.direction, "BOTH",
         'traffic direction "BOTH" is neither ingress nor egress'),
        (hubble_values.tcp_flags, "syn,", "unknown tcp flag: "),
        (hubble_values.http_header, "Host",
         'HTTP header "Host" has no colon; write NAME:VALUE'),
        (hubble_values.ip_trace_id, "0", "IP trace id 0 marks no packet; ids begin at 1"),
        (hubble_values.ip_trace_id, "x",
         'IP trace id "x" is no number: strconv.ParseUint: parsing "x": invalid syntax'),
        (hubble_values.event_type, "4:to-stack",
         'event subtype "to-stack" is neither a known name nor a number: ' + INVALID % "to-stack"),
        (hubble_values.event_type, "Drop",
         'event type "Drop" is neither a known name nor a number: ' + INVALID % "Drop"),
    ],
)  # fmt: skip
def test_errors_name_the_value(parse: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert str(caught.value) == message


FIELDS: dict[Callable[[str], object], str] = {
    hubble_values.tcp_flags: "tcp_flags",
    hubble_values.workload: "source_workload",
    hubble_values.http_header: "http_header",
    hubble_values.event_type: "event_type",
    hubble_values.interface: "interface",
    hubble_values.ip_version: "ip_version",
    hubble_values.identity: "source_identity",
    hubble_values.ip_trace_id: "ip_trace_id",
    hubble_values.drop_reason: "drop_reason_desc",
    hubble_values.direction: "traffic_direction",
    hubble_values.verdict: "verdict",
}


@given(st.sampled_from([*FIELDS]), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_what_is_read_fits_its_field(parse: Callable[[str], object], text: str) -> None:
    values: dict[str, Any] = {}
    with contextlib.suppress(InvalidRequest):
        values[FIELDS[parse]] = [parse(text)]
    assert FlowFilter(**values).IsInitialized()
