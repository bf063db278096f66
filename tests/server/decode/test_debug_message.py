from __future__ import annotations

import pytest

from palomar_proto.flow.flow_pb2 import DebugEventType
from palomar_server.decode.debug_message import debug_message

A, B, C = 0x0A00000A, 0x0B000501, 0x1F900050
WITHOUT_TEXT = {0, 66, 67, 68}


@pytest.mark.parametrize(
    ("subtype", "text"),
    [
        (1, "No message, arg1=167772170 (0xa00000a) arg2=184550657 (0xb000501)"),
        (4, "Local container found ifindex  seclabel 261"),
        (6, "CT lookup: sport=2560 dport=10 nexthdr=720901 flags=OUT"),
        (9, "CT created 1/2: sport=2560 dport=10 nexthdr=720901 flags=OUT revnat=20480"),
        (16, "Tunnel decap: id=167772170 flowlabel=b000501"),
        (42, "Reverse proxy lookup sport=10 dport=2560 saddr=1.5.0.11 nexthdr=529530960"),
        (48, "Conntrack lookup 1/2: src=10.0.0.10:80 dst=1.5.0.11:8080"),
        (49, "Conntrack lookup 2/2: nexthdr=655360 flags=10 dir=184550657 scope=529530960"),
        (50, "Conntrack create: proxy-port=2560 revnat=2560 src-identity=184550657 lb=80.0.144.31"),
        (51, "Conntrack lookup 1/2: src=[::a00:a]:80 dst=[::105:b]:8080"),
        (53, "Conntrack create: proxy-port=2560 revnat=2560 src-identity=184550657"),
        (
            55,
            f"Matched L4 policy; creating conntrack src={A} dst={B} dport=36895 proto=80",
        ),
        (59, "Successfully mapped addr.p4=[::a00:a] to identity=184550657"),
        (65, "L7 LB from 10.0.0.10 to 1.5.0.11: proxy port 529530960"),
        (66, "Unknown message type=66 arg1=167772170 arg2=184550657"),
        (255, "Unknown message type=255 arg1=167772170 arg2=184550657"),
    ],
)
def test_texts_are_those_of_cilium(subtype: int, text: str) -> None:
    assert debug_message(subtype, A, B, C) == text


def test_every_subtype_of_the_api_has_a_text_but_those_that_cilium_has_none_for() -> None:
    without = {
        subtype
        for subtype in DebugEventType.values()
        if debug_message(subtype, A, B, C).startswith("Unknown message")
    }
    assert without == WITHOUT_TEXT


@pytest.mark.parametrize(
    ("flags", "text"), [(0, ""), (1, "OUT"), (2, "RELATED"), (3, "OUT, RELATED"), (4, "")]
)
def test_tuple_flags(flags: int, text: str) -> None:
    assert debug_message(7, 0, flags, 0).endswith(f"flags={text}")


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (0, "New"),
        (3, "Related"),
        (155, "CT: Map insertion failed"),
        (256, "Success"),
        (16, "16, 0"),
    ],
)
def test_conntrack_states_beyond_the_known_are_reasons(state: int, text: str) -> None:
    assert debug_message(15, state, 0x100, 0) == f"CT verdict: {text}, revnat=1"


@pytest.mark.parametrize(("direction", "text"), [(0, "egress"), (1, "ingress"), (2, "")])
def test_directions(direction: int, text: str) -> None:
    assert debug_message(45, 0x5000, direction, 0) == f"Resolved L4 policy to: 80 / {text}"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "Success"),
        (22, "invalid argument"),
        (73, "RFS specific error"),
        (41, "errno 41"),
        (132, "operation not possible due to RF-kill"),
        (116, "stale NFS file handle"),
        (133, "errno 133"),
        (0xFFFFFFFF, "errno 4294967295"),
    ],
)
def test_errors_have_the_texts_of_go(number: int, text: str) -> None:
    assert debug_message(64, number, 0, 0) == f"Socket assign: {text}"
