from __future__ import annotations

import re
from importlib import resources

from palomar_bpf import capture_rule
from palomar_bpf.capture_rule import CaptureRule, PacketPoint


def defined(name: str) -> int:
    """The number that a macro of the programs stands for."""
    folder = resources.files("palomar_bpf") / "programs"
    text = "".join((folder / file).read_text() for file in ("rules.h", "record.c"))
    found = re.search(rf"^#define {name} (\d+)$", text, re.MULTILINE)
    assert found is not None, name
    return int(found[1])


def test_bounds_are_those_of_the_programs() -> None:
    assert defined("RULES_MAX") == capture_rule.RULES_MAX
    assert defined("RULE_WORDS") == capture_rule.RULE_WORDS
    assert defined("RULE_NUMBERS_MAX") == capture_rule.RULE_NUMBERS_MAX
    assert defined("RULE_NETWORKS_MAX") == capture_rule.RULE_NETWORKS_MAX
    assert defined("RECORD_DROP_BYTES_MAX") == capture_rule.DROPPED_PACKET_BYTES_MAX
    for point in PacketPoint:
        assert defined(f"RECORD_{point.name}") == point.value


def test_an_empty_rule_is_for_every_point() -> None:
    assert CaptureRule().points == frozenset(PacketPoint)
