from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import math
import mmap
from typing import Any

import pytest

from palomar_bpf import settings
from palomar_bpf.settings import CaptureSettings


def test_the_defaults_are_valid() -> None:
    options = CaptureSettings().program_options(4026531840)
    assert options.host_netns == 4026531840
    assert options.aggregation_interval_ns == 5_000_000_000
    assert options.aggregation_flags == 0x07
    assert options.drops == "all"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("snaplen_bytes", 13),
        ("snaplen_bytes", 70_000),
        ("pages_per_cpu", 0),
        ("pages_per_cpu", 48),
        ("pages_per_cpu", -64),
        ("pages_per_cpu", 1 << 20),
        ("record_pages_per_cpu", 3),
        ("coalesce_max_s", -0.001),
        ("coalesce_unwatched_max_s", 0.2),
        ("coalesce_max_s", 1.5),
        ("coalesce_max_s", math.nan),
        ("aggregation", "high"),
        ("aggregation_interval_s", math.inf),
        ("aggregation_flags", ("syn", "fun")),
        ("connections_max", 0),
        ("interfaces_max", 0),
        ("drops", "some"),
        ("attach_method", "xdp"),
        ("trace_rate_per_cpu", -1),
        ("trace_burst_per_cpu", 0),
        ("drop_rate_per_cpu", -1),
        ("drop_burst_per_cpu", 0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: Any) -> None:
    shown = "fun" if field == "aggregation_flags" else str(value)
    with pytest.raises(ValueError, match=field) as caught:
        CaptureSettings(**{field: value})
    assert shown in str(caught.value)


def test_a_packet_that_cannot_fit_the_ring_is_refused_with_both_settings() -> None:
    CaptureSettings(snaplen_bytes=60_000, pages_per_cpu=32)
    with pytest.raises(ValueError, match=r"snaplen_bytes is 60000.*pages_per_cpu 16") as caught:
        CaptureSettings(snaplen_bytes=60_000, pages_per_cpu=16)
    assert str(16 * mmap.PAGESIZE // 2 - 256) in str(caught.value)


def test_no_drops_at_all_is_not_the_programs_business() -> None:
    assert CaptureSettings(drops="off").program_options(1).drops == "all"


def test_flags_become_the_byte_of_the_tcp_header() -> None:
    flags = ("cwr", "ack", "ack", "fin")
    assert CaptureSettings(aggregation_flags=flags).program_options(1).aggregation_flags == 0x91


def test_every_field_is_documented() -> None:
    tree = ast.parse(inspect.getsource(settings))
    (body,) = [
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "CaptureSettings"
    ]
    documented = {
        node.target.id
        for node, after in itertools.pairwise(body)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(after, ast.Expr)
    }
    assert documented == {field.name for field in dataclasses.fields(CaptureSettings)}
