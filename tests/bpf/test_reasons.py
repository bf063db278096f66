from __future__ import annotations

from typing import cast

import pytest

from palomar_bpf.btf import KernelBtf
from palomar_bpf.reasons import DEFAULT_IGNORED, reason_names, reason_numbers


class FakeBtf:
    """A kernel with these enums, by name or (name, module)."""

    def __init__(self, enums: dict[str | tuple[str, str], dict[str, int]]) -> None:
        self.enums = enums

    def enum(self, name: str, module: str = "") -> dict[str, int]:
        return self.enums.get((name, module) if module else name, {})


def names(enums: dict[str | tuple[str, str], dict[str, int]]) -> dict[int, str]:
    return reason_names(cast("KernelBtf", FakeBtf(enums)))


def test_prefixes_and_bounds_are_left_out() -> None:
    core = {
        "SKB_NOT_DROPPED_YET": 0,
        "SKB_DROP_REASON_NO_SOCKET": 3,
        "SKB_DROP_REASON_SKB_CSUM": 75,
        "SKB_DROP_REASON_MAX": 128,
        "SKB_DROP_REASON_SUBSYS_MASK": -65536,
    }
    assert names({"skb_drop_reason": core}) == {
        0: "NOT_DROPPED_YET",
        3: "NO_SOCKET",
        75: "SKB_CSUM",
    }


def test_subsystems_are_found_built_in_or_in_their_module() -> None:
    found = names(
        {
            "mac80211_drop_reason": {"RX_CONTINUE": 1, "___RX_DROP_UNUSABLE": 0x10000},
            ("ovs_drop_reason", "openvswitch"): {"OVS_DROP_EXPLICIT": 0x20003},
        }
    )
    assert found == {0x10000: "RX_DROP_UNUSABLE", 0x20003: "OVS_DROP_EXPLICIT"}


def test_kernel_without_reasons_has_no_names() -> None:
    assert names({}) == {}


def test_numbers_are_those_of_the_names_this_kernel_has() -> None:
    assert reason_numbers(["NO_SOCKET", "NO_SUCH_REASON"], {3: "NO_SOCKET", 4: "TCP_CSUM"}) == [3]


@pytest.mark.live
def test_this_kernel_names_its_reasons(live: None) -> None:
    with KernelBtf() as btf:
        found = reason_names(btf)
    assert {"NO_SOCKET", "NETFILTER_DROP", "NOT_SPECIFIED"} <= set(found.values())


def test_default_ignored_reasons_are_distinct() -> None:
    assert len(set(DEFAULT_IGNORED)) == len(DEFAULT_IGNORED)
