"""What the maps hold; tests/bpf/test_record_program.py has what the programs make of it."""

from __future__ import annotations

import struct
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from palomar_bpf.bpf_call import map_lookup
from palomar_bpf.capture_rule import RULE_NETWORKS_MAX, CaptureRule
from palomar_bpf.errors import CaptureError
from palomar_bpf.rule_maps import RuleMaps
from palomar_bpf.rule_tables import PLAN_BYTES, SET_BYTES, RuleTables, make_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    Bench = Any

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def maps(make_bench: Callable[..., Bench]) -> dict[str, int]:
    found: dict[str, int] = make_bench(connections_max=64).programs.maps
    return found


def test_maps_hold_exactly_what_was_written_last(maps: dict[str, int]) -> None:
    rules = RuleMaps(maps)
    first = make_tables([(0, CaptureRule(sources=(ip_network("10.0.0.0/8"),), protocols=(6,)))])
    second = make_tables([(9, CaptureRule(sources=(ip_network("fd00::/8"),), protocols=(6,)))])
    rules.write(first, enabled=1, snaplen_bytes=100)
    rules.write(second, enabled=1 << 9, snaplen_bytes=200)
    for fd, before, now in (
        (maps["rule_networks"], first.networks, second.networks),
        (maps["rule_numbers"], first.numbers, second.numbers),
    ):
        for key in {*before, *now}:
            held = map_lookup(fd, key, SET_BYTES)
            wanted = now[key].to_bytes(SET_BYTES, "little") if key in now else None
            assert held == wanted
    plan = map_lookup(maps["record_plans"], struct.pack("=I", 0), PLAN_BYTES)
    assert plan == second.plan(1 << 9, 200)
    rules.write(RuleTables(), enabled=0, snaplen_bytes=0)


def test_more_than_the_maps_hold_is_refused_and_changes_nothing(maps: dict[str, int]) -> None:
    rules = RuleMaps(maps)
    wide = {number.to_bytes(24, "big"): 1 for number in range(RULE_NETWORKS_MAX + 1)}
    with pytest.raises(CaptureError, match=f"ask for {RULE_NETWORKS_MAX + 1} different networks"):
        rules.write(RuleTables(networks=wide), enabled=1, snaplen_bytes=100)
    plan = map_lookup(maps["record_plans"], struct.pack("=I", 0), PLAN_BYTES)
    assert plan == bytes(PLAN_BYTES)
