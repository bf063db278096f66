from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2, explanation_pb2
from palomar_server.explain.reasons import (
    NO_REASON,
    Reason,
    ReasonTable,
    ReasonTableError,
    reason_name,
)

if TYPE_CHECKING:
    from pathlib import Path

TABLE = ReasonTable()
WORDS = {"source", "destination", "source_port", "destination_port", "protocol"}
COMMONEST = (
    *("NO_SOCKET", "NETFILTER_DROP", "NOT_SPECIFIED", "OTHERHOST", "TCP_CSUM", "UDP_CSUM"),
    *("IP_CSUM", "IP_INHDR", "IP_RPFILTER", "SOCKET_FILTER", "SOCKET_RCVBUFF", "SOCKET_BACKLOG"),
    *("PROTO_MEM", "TCP_FLAGS", "TCP_ZEROWINDOW", "TCP_OLD_DATA", "TCP_OVERWINDOW"),
    *("TCP_OFOMERGE", "TCP_RFC7323_PAWS", "TCP_OLD_SEQUENCE", "TCP_INVALID_SEQUENCE"),
    *("TCP_RESET", "TCP_INVALID_SYN", "TCP_CLOSE", "TCP_OLD_ACK", "TCP_TOO_OLD_ACK"),
    *("TCP_ACK_UNSENT_DATA", "TCP_OFO_QUEUE_PRUNE", "TCP_OFO_DROP", "TCP_ABORT_ON_DATA"),
    *("TCP_LISTEN_OVERFLOW", "IP_OUTNOROUTES", "IP_INNOROUTES", "IP_INADDRERRORS"),
    *("BPF_CGROUP_EGRESS", "IPV6DISABLED", "NEIGH_CREATEFAIL", "NEIGH_FAILED", "NEIGH_DEAD"),
    *("NEIGH_QUEUEFULL", "TC_EGRESS", "TC_INGRESS", "XDP", "QDISC_DROP", "QDISC_CONGESTED"),
    *("CPU_BACKLOG", "UNHANDLED_PROTO", "CSUM", "GSO_SEG", "DEV_HDR", "DEV_READY", "FULL_RING"),
    *("NOMEM", "HDR_TRUNC", "ICMP_CSUM", "INVALID_PROTO", "IP_LOCALNET", "IP_INVALID_SOURCE"),
    *("IP_LOCAL_SOURCE", "PKT_TOO_BIG", "DUP_FRAG", "FRAG_REASM_TIMEOUT", "XFRM_POLICY"),
    *("SECURITY_HOOK", "IP_NOPROTO", "PKT_TOO_SMALL", "QUEUE_PURGE", "PFMEMALLOC"),
)


def test_every_drop_reason_of_cilium_is_explained() -> None:
    assert set(TABLE.cilium) == set(flow_pb2.DropReason.keys())


def test_every_drop_reason_of_the_kernel_is_explained() -> None:
    assert len(set(COMMONEST)) >= 60
    assert set(COMMONEST) <= set(TABLE.kernel)
    assert set(TABLE.kernel) == set(drop_reason_pb2.KernelDropReason.keys())


@pytest.mark.parametrize(
    "entry", [*TABLE.kernel.items(), *TABLE.cilium.items()], ids=lambda e: e[0]
)
def test_entry_says_all_it_has_to(entry: tuple[str, Reason]) -> None:
    _, reason = entry
    assert reason.meaning.endswith(".")
    assert all(reason.usual_causes)
    assert all(reason.check_next)
    for text in reason.check_next:
        assert Template(text).is_valid()
        assert set(Template(text).get_identifiers()) <= WORDS


def test_values_of_the_packet_stand_in_the_commands() -> None:
    checks = TABLE.reason(1005).checks({"destination_port": "8080", "destination": "192.0.2.2"})
    assert "ss -lntup 'sport = :8080'" in checks[0]


def test_reasons_that_are_not_known_have_a_number_for_a_name() -> None:
    assert [reason_name(number) for number in (133, 1014, 299, 1999)] == [
        "POLICY_DENIED",
        "NETFILTER_DROP",
        "299",
        "1999",
    ]
    assert TABLE.reason(299) is TABLE.reason(1999) is NO_REASON


def test_functions_tell_where_on_its_way_a_packet_was() -> None:
    assert "nftables" in TABLE.function("nft_do_chain")
    assert TABLE.function("no_such_function") == ""


ENTRY = "A: {cause: UNKNOWN, meaning: It., usual_causes: [this], check_next: [that]}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (ENTRY.replace("meaning: It., ", ""), "A has to have the keys"),
        (ENTRY.replace("UNKNOWN", "NONE_SUCH"), "'NONE_SUCH' is no DropCause"),
        (ENTRY.replace("[this]", "[]"), "usual_causes has to be a list"),
        (ENTRY.replace("[that]", "['']"), "check_next has an empty text"),
        (ENTRY.replace("It.", "''"), "meaning is empty"),
        ("A: 7", "has to have the keys"),
    ],
)
def test_broken_entries_are_named(tmp_path: Path, text: str, fault: str) -> None:
    for name in ("cilium_reasons", "kernel_functions"):
        (tmp_path / f"{name}.yaml").write_text("")
    (tmp_path / "kernel_reasons.yaml").write_text(text)
    with pytest.raises(ReasonTableError, match=fault):
        ReasonTable(tmp_path)


def test_causes_have_their_numbers() -> None:
    assert TABLE.reason(133).cause == explanation_pb2.DROP_CAUSE_DEFAULT_DENY
    assert TABLE.reason(1095).cause == explanation_pb2.DROP_CAUSE_PATH_MTU
