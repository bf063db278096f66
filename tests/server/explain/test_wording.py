from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.explain.wording import (
    destination_name,
    direction_name,
    drop_headline,
    drop_reason,
    packet_name,
    port_text,
    source_name,
)


def dropped(reason: int, **fields: object) -> flow_pb2.Flow:
    number = flow_pb2.DropReason.ValueType(reason)
    return flow_pb2.Flow(verdict=flow_pb2.DROPPED, drop_reason_desc=number, **fields)  # type: ignore[arg-type]


def test_reason_that_only_this_kernel_has_keeps_its_name() -> None:
    flow = dropped(1001, Summary="TCP Flags: SYN; BRAND_NEW at new_function")
    assert drop_reason(flow) == "BRAND_NEW"
    assert drop_reason(dropped(1001)) == "KERNEL_OTHER"
    assert drop_reason(dropped(133)) == "POLICY_DENIED"


@pytest.mark.parametrize(
    ("flow", "where"),
    [
        (
            dropped(1014, file=flow_pb2.FileInfo(name="nft_do_chain")),
            " in the kernel's nft_do_chain",
        ),
        (dropped(1014), " in the kernel"),
        (
            dropped(
                133,
                file=flow_pb2.FileInfo(name="bpf_lxc.c", line=7),
                event_type=flow_pb2.CiliumEventType(type=1),
            ),
            " by Cilium's datapath (bpf_lxc.c:7)",
        ),
        (dropped(133), " by Cilium's datapath"),
    ],
)
def test_headline_says_where(flow: flow_pb2.Flow, where: str) -> None:
    name = drop_reason(flow)
    assert drop_headline(flow) == (
        f"A packet from an unknown address to an unknown address was dropped{where}: {name}."
    )


def test_ends_have_names_where_they_are_known() -> None:
    flow = flow_pb2.Flow(
        source=flow_pb2.Endpoint(pod_name="web"),
        destination=flow_pb2.Endpoint(pod_name="db-0", namespace="shop"),
        IP=flow_pb2.IP(source="192.0.2.1"),
        l4=flow_pb2.Layer4(UDP=flow_pb2.UDP(destination_port=53)),
        Summary="UDP; NO_SOCKET at udp_rcv",
    )
    assert source_name(flow) == "web (192.0.2.1)"
    assert destination_name(flow) == "shop/db-0"
    assert port_text(flow) == " port 53/UDP"
    assert packet_name(flow) == "A packet (UDP)"
    assert [direction_name(number) for number in (0, 1, 2)] == [
        "some direction",
        "ingress",
        "egress",
    ]
