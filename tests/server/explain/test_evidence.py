from __future__ import annotations

import asyncio

import pytest

from palomar_proto.palomar.v1 import explanation_pb2 as e
from palomar_server.explain.evidence import NOTHING, Evidence, gather_evidence, tcp_flags
from palomar_server.explain.subject import Subjects
from palomar_server.explain.window import Window
from palomar_server.filters.compiled import FilterLimits
from palomar_server.testing import ACK, PSH, SYN, drop_payload, trace_payload
from tests.server.explain.builders import Bench, cilium_drop, content, too_big, verdict

FORWARD, BACK = trace_payload(content(ACK)), trace_payload(content(ACK, back=True))


def gather(bench: Bench, sequence: int, rows_max: int = 100) -> Evidence:
    core = bench.core
    window = Window(core.ring)
    subjects = Subjects(core.encoder, core.surroundings, FilterLimits())
    subject = asyncio.run(subjects.find(e.ExplainRequest(sequence=sequence), window))
    return gather_evidence(window, subject, rows_max)


def test_every_row_of_a_connection_has_its_relation() -> None:
    bench = Bench().see(FORWARD, BACK, cilium_drop(content()), FORWARD, BACK)
    bench.see(trace_payload(too_big()), trace_payload(content(port=7)))
    assert gather(bench, 2).relations.tolist() == [
        e.FLOW_RELATION_BEFORE,
        e.FLOW_RELATION_REVERSE_BEFORE,
        e.FLOW_RELATION_UNSPECIFIED,
        e.FLOW_RELATION_AFTER,
        e.FLOW_RELATION_REVERSE_AFTER,
        e.FLOW_RELATION_ICMP_ERROR,
    ]


@pytest.mark.parametrize(
    ("beside", "at_s", "same"),
    [
        (verdict(content()), 0, True),
        (verdict(content()), 0.4, True),
        (verdict(content()), 1, False),
        (verdict(content(PSH | ACK)), 0, False),
        (verdict(content(back=True)), 0, False),
        (verdict(content(), 0), 0, False),
        (cilium_drop(content()), 0, False),
        (trace_payload(content()), 0, False),
    ],
)
def test_verdict_and_drop_are_of_one_packet_if_alike_and_near(
    beside: bytes, at_s: float, *, same: bool
) -> None:
    bench = Bench().see(cilium_drop(content())).see(beside, at_s=at_s)
    assert gather(bench, 0).same_packet.tolist() == [False, same]


def test_of_several_verdicts_the_nearest_is_taken() -> None:
    bench = Bench().see(verdict(content())).see(verdict(content()), at_s=0.3)
    bench.see(cilium_drop(content()), at_s=0.4)
    assert gather(bench, 2).same_packet.tolist() == [False, True, False]


def test_no_more_rows_than_allowed_are_looked_at() -> None:
    bench = Bench().see(*[FORWARD] * 10)
    evidence = gather(bench, 9, 4)
    assert evidence.sequences.tolist() == [6, 7, 8, 9]
    assert evidence.truncated


def test_packets_without_addresses_have_no_evidence() -> None:
    frame = bytes(12) + b"\x88\xcc" + bytes(20)
    assert gather(Bench().see(drop_payload(frame, subtype=133)), 0) is NOTHING


def test_tcp_flags_are_those_of_the_column() -> None:
    bench = Bench().see(trace_payload(content(SYN | ACK)))
    flow = bench.core.encoder.flow(bench.core.rows()[0])
    assert tcp_flags(flow) == SYN | ACK
