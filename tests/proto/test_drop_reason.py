"""The stable numbers of kernel drop reasons."""

from __future__ import annotations

import pytest

from palomar_bpf.btf import KernelBtf
from palomar_bpf.reasons import reason_names
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2

# Released numbers never change: a reader of old recordings depends on them.
RELEASED = {
    "KERNEL_UNKNOWN": 0,
    "KERNEL_OTHER": 1,
    "NOT_SPECIFIED": 4,
    "NO_SOCKET": 5,
    "NETFILTER_DROP": 14,
    "TCP_INVALID_SYN": 48,
    "RECURSION_LIMIT": 129,
    "PTYPE_ABSENT": 300,
    "OVS_DROP_LAST_ACTION": 400,
}


@pytest.mark.parametrize(("name", "number"), RELEASED.items())
def test_released_numbers_stay(name: str, number: int) -> None:
    assert drop_reason_pb2.KernelDropReason.Value(name) == number


def test_kernel_reasons_do_not_collide_with_those_of_hubble() -> None:
    assert max(flow_pb2.DropReason.values()) < 1000


@pytest.mark.live
def test_every_reason_of_the_running_kernel_has_a_stable_number(live: None) -> None:
    with KernelBtf() as btf:
        names = set(reason_names(btf).values())
    known = set(drop_reason_pb2.KernelDropReason.keys())
    # A newer kernel may know more: those are KERNEL_OTHER and keep their name in the summary.
    assert {"NO_SOCKET", "NETFILTER_DROP", "NOT_SPECIFIED"} <= names & known
