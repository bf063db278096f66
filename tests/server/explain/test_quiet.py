from __future__ import annotations

import pytest

from palomar_proto.palomar.v1 import explanation_pb2 as e
from palomar_server.testing import ACK, RST, SYN, trace_payload
from tests.server.explain.builders import CLIENT, ROUTER, SERVER, Bench, content, icmp_error

SYN_OUT = trace_payload(content())
SYN_ACK, DATA = trace_payload(content(SYN | ACK, back=True)), trace_payload(content(ACK))


@pytest.mark.parametrize(
    ("icmp_type", "code", "cause"),
    [
        (3, 0, e.DROP_CAUSE_ROUTING),
        (3, 1, e.DROP_CAUSE_ROUTING),
        (3, 3, e.DROP_CAUSE_NO_LISTENER),
        (3, 13, e.DROP_CAUSE_FIREWALL),
        (11, 0, e.DROP_CAUSE_ROUTING),
    ],
)
def test_icmp_errors_tell_the_cause(icmp_type: int, code: int, cause: int) -> None:
    bench = Bench().see(trace_payload(icmp_error(icmp_type, code)))
    answer = bench.see(SYN_OUT).explain_any()
    assert answer.cause == cause
    assert answer.headline.startswith(f"{ROUTER} answered {CLIENT} with ICMPv4 ")
    assert answer.check_next
    assert not any("$" in text for text in answer.check_next)


def test_reset_that_answers_a_syn_is_a_refusal() -> None:
    bench = Bench().see(SYN_OUT, trace_payload(content(RST | ACK, back=True)))
    for sequence in (0, 1):
        answer = bench.explain(e.ExplainRequest(sequence=sequence))
        assert answer.cause == e.DROP_CAUSE_NO_LISTENER
        assert answer.headline == (
            f"{SERVER} refused the connection of {CLIENT}: it answered with a reset."
        )


def test_reset_within_a_connection_is_an_end() -> None:
    bench = Bench().see(SYN_OUT, SYN_ACK, DATA, trace_payload(content(RST)), DATA)
    answer = bench.explain_any()
    assert answer.cause == e.DROP_CAUSE_CONNECTION_STATE
    assert answer.headline == f"{CLIENT} reset its connection with {SERVER}."


def test_silence_is_told_from_a_connection_that_works() -> None:
    silent = Bench().see(SYN_OUT, SYN_OUT).explain_any()
    assert "no answer was seen" in silent.headline
    assert any(f"ip route get {CLIENT}" in text for text in silent.check_next)
    sound = Bench().see(SYN_OUT, SYN_ACK, DATA).explain_any()
    assert "nothing seen of its connection tells of trouble" in sound.headline
    assert silent.cause == sound.cause == e.DROP_CAUSE_UNKNOWN
