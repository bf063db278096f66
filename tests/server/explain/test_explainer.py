from __future__ import annotations

import asyncio

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.errors import InvalidRequest, NotFound, Refused
from palomar_server.explain.explainer import Explainer, ExplainLimits
from palomar_server.peer import OWN, Peer
from palomar_server.testing import ACK, RST, SYN, trace_payload
from tests.server.explain.builders import (
    CLIENT,
    ROUTER,
    SERVER,
    Bench,
    cilium_drop,
    content,
    kernel_drop,
    too_big,
    verdict,
)

SYN_IN, ANSWER = trace_payload(content()), trace_payload(content(SYN | ACK, back=True))
DATA = trace_payload(content(ACK, payload=bytes(1400)))


def test_kernel_drop_names_reason_function_and_what_to_check() -> None:
    answer = Bench().see(SYN_IN).see(kernel_drop(content())).explain()
    assert answer.cause == explanation_pb2.DROP_CAUSE_FIREWALL
    assert (answer.reason, answer.reason_number) == ("NETFILTER_DROP", 1014)
    assert answer.function == "nft_do_chain"
    assert answer.headline == (
        f"A packet (TCP Flags: SYN) from {CLIENT} to {SERVER} port 443/TCP was dropped in the "
        "kernel's nft_do_chain: NETFILTER_DROP."
    )
    assert "nftables" in answer.meaning
    assert any("nft list ruleset" in text for text in answer.check_next)
    assert any(SERVER in text for text in answer.check_next)
    assert not any("$" in text for text in answer.check_next)
    assert answer.flow.Summary == "TCP Flags: SYN; NETFILTER_DROP at nft_do_chain"
    assert [one.relation for one in answer.related] == [explanation_pb2.FLOW_RELATION_BEFORE]
    assert answer.sequence == 1


def test_denied_packet_without_a_policy_is_default_deny() -> None:
    answer = Bench().see(verdict(content()), cilium_drop(content())).explain()
    assert answer.cause == explanation_pb2.DROP_CAUSE_DEFAULT_DENY
    assert answer.headline.startswith(f"Default deny (ingress): some policy selects {SERVER}")
    assert (answer.function, answer.line) == ("bpf_lxc.c", 1234)
    assert [one.relation for one in answer.related] == [explanation_pb2.FLOW_RELATION_SAME_PACKET]
    assert answer.counts.connection_same_reason == 2


def test_the_verdict_leads_to_its_drop_and_the_drop_to_its_verdict() -> None:
    bench = Bench().see(verdict(content(), ingress=False), cilium_drop(content()))
    for sequence in (0, 1):
        answer = bench.explain(explanation_pb2.ExplainRequest(sequence=sequence))
        [other] = answer.related
        assert other.relation == explanation_pb2.FLOW_RELATION_SAME_PACKET
        assert other.sequence == 1 - sequence
        assert answer.headline.startswith(f"Default deny (egress): some policy selects {CLIENT}")
        assert answer.function == "bpf_lxc.c"


def test_denial_by_a_rule_is_no_default_deny() -> None:
    answer = Bench().see(cilium_drop(content(), flow_pb2.POLICY_DENY)).explain()
    assert answer.cause == explanation_pb2.DROP_CAUSE_POLICY_DENY
    assert any("Which rule denied it is not known" in text for text in answer.limits)


def test_stalled_connection_names_path_mtu_when_a_message_concerns_it() -> None:
    bench = Bench().see(SYN_IN, ANSWER).see(DATA, at_s=1).see(trace_payload(too_big()), at_s=2)
    answer = bench.see(DATA, at_s=3).explain_any()
    assert answer.cause == explanation_pb2.DROP_CAUSE_PATH_MTU
    told = answer.path_mtu
    assert (told.mtu, told.router, told.sender) == (1400, ROUTER, CLIENT)
    assert (told.destination, told.messages) == (SERVER, 1)
    assert (told.larger_since, told.largest_since) == (1, 1440)
    assert answer.headline == (
        f"Path MTU: {ROUTER} told {CLIENT} that packets of this connection to {SERVER} are too "
        "big, that at most 1400 bytes get through; since then it sent packets of up to "
        "1440 bytes."
    )
    assert any("tracepath -n 203.0.113.9" in text for text in answer.check_next)
    assert answer.reason == ""


def test_the_message_itself_explains_the_connection_it_quotes() -> None:
    answer = Bench().see(DATA).see(trace_payload(too_big(), extension={})).explain_any()
    assert answer.flow.Summary == "ICMPv4 DestinationUnreachable(FragmentationNeeded), MTU 1400"
    assert answer.cause == explanation_pb2.DROP_CAUSE_PATH_MTU
    assert [one.relation for one in answer.related] == [explanation_pb2.FLOW_RELATION_BEFORE]


def test_packet_too_big_for_a_link_is_path_mtu_whether_or_not_anybody_was_told() -> None:
    answer = Bench().see(kernel_drop(content(ACK), 7)).explain()
    assert answer.cause == explanation_pb2.DROP_CAUSE_PATH_MTU
    assert not answer.HasField("path_mtu")
    told = Bench().see(kernel_drop(content(ACK), 7)).see(trace_payload(too_big(1300))).explain()
    assert told.path_mtu.mtu == 1300
    assert told.headline.startswith("Path MTU: ")
    assert "PKT_TOO_BIG" in told.headline


def test_firewall_drop_is_not_blamed_on_the_path() -> None:
    answer = Bench().see(trace_payload(too_big())).see(kernel_drop(content(ACK))).explain()
    assert answer.cause == explanation_pb2.DROP_CAUSE_FIREWALL
    assert answer.path_mtu.mtu == 1400


def test_drop_elsewhere_in_the_connection_explains_a_packet_that_was_not_dropped() -> None:
    bench = Bench().see(SYN_IN).see(kernel_drop(content()))
    answer = bench.explain(explanation_pb2.ExplainRequest(sequence=0))
    assert answer.cause == explanation_pb2.DROP_CAUSE_FIREWALL
    assert answer.headline.startswith("Another packet of the connection: ")
    assert answer.flow.verdict == flow_pb2.FORWARDED


def test_refused_connection_has_no_listener() -> None:
    answer = Bench().see(SYN_IN, trace_payload(content(RST | ACK, back=True))).explain_any()
    assert answer.cause == explanation_pb2.DROP_CAUSE_NO_LISTENER


def test_counts_are_of_the_connection_the_pair_and_the_node() -> None:
    other_pair = kernel_drop(content(back=True).replace(b"\xcb\x00\x71\x09", b"\xcb\x00\x71\x0a"))
    bench = Bench().see(kernel_drop(content()), kernel_drop(content()), SYN_IN)
    bench.see(kernel_drop(content(port=40_001)), other_pair, kernel_drop(content(), 5))
    counts = bench.explain(explanation_pb2.ExplainRequest(sequence=0)).counts
    assert counts.connection_flows == 4
    assert counts.connection_drops == 3
    assert counts.connection_same_reason == 2
    assert counts.pair_same_reason == 3
    assert counts.node_same_reason == 4


def test_more_related_flows_than_the_server_gives_are_refused() -> None:
    bench = Bench(limits=ExplainLimits(related_max=3)).see(kernel_drop(content()))
    request = explanation_pb2.ExplainRequest(sequence=0, related_max=4)
    with pytest.raises(InvalidRequest, match="related_max: 4 is over 3"):
        bench.explain(request)


def test_an_empty_ring_has_nothing_to_explain() -> None:
    with pytest.raises(NotFound, match="no dropped flow"):
        Bench().explain()


def test_what_a_peer_may_not_see_is_neither_explained_nor_related_nor_counted() -> None:
    bench = Bench().see(SYN_IN, ANSWER, kernel_drop(content()), kernel_drop(content(port=7)))
    asked = []

    def permit(request: observer_pb2.GetFlowsRequest, peer: Peer) -> observer_pb2.GetFlowsRequest:
        asked.append((list(request.whitelist), peer))
        return observer_pb2.GetFlowsRequest(
            blacklist=[
                flow_pb2.FlowFilter(source_ip=[SERVER]),
                flow_pb2.FlowFilter(source_port=["7"]),
            ]
        )

    core = bench.core
    explainer = Explainer(core.ring, core.encoder, core.surroundings, permit=permit)
    answer = asyncio.run(explainer.explain(explanation_pb2.ExplainRequest(sequence=2), OWN))
    assert asked == [([], OWN)]
    assert [one.sequence for one in answer.related] == [0]
    assert answer.counts.node_same_reason == 1
    for sequence in (1, 3):
        with pytest.raises(NotFound):
            asyncio.run(explainer.explain(explanation_pb2.ExplainRequest(sequence=sequence), OWN))
    request = explanation_pb2.ExplainRequest()
    request.last.SetInParent()
    assert asyncio.run(explainer.explain(request, OWN)).sequence == 2


def test_peer_that_is_refused_gets_nothing() -> None:
    core = Bench().see(kernel_drop(content())).core

    def permit(request: observer_pb2.GetFlowsRequest, peer: Peer) -> observer_pb2.GetFlowsRequest:
        raise Refused("not you")

    explainer = Explainer(core.ring, core.encoder, core.surroundings, permit=permit)
    with pytest.raises(Refused, match="not you"):
        asyncio.run(explainer.explain(explanation_pb2.ExplainRequest(sequence=0), OWN))
