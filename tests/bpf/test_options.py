from __future__ import annotations

from typing import Any

import pytest

from palomar_bpf.options import ProgramOptions


def test_defaults_are_within_their_bounds() -> None:
    options = ProgramOptions(host_netns=4026531840)
    assert options.aggregation == "medium"
    assert options.drops == "all"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host_netns", 0),
        ("snaplen_bytes", 63),
        ("snaplen_bytes", 60_001),
        ("aggregation", "high"),
        ("aggregation_interval_ns", -1),
        ("aggregation_flags", 256),
        ("connections_max", 0),
        ("interfaces_max", 0),
        ("trace_rate_per_cpu", -1),
        ("drop_rate_per_cpu", 10**9),
        ("drops", "some"),
    ],
)
def test_value_out_of_bounds_is_refused_by_name(field: str, value: object) -> None:
    options: dict[str, Any] = {"host_netns": 1, field: value}
    with pytest.raises(ValueError, match=field):
        ProgramOptions(**options)


@pytest.mark.parametrize("kind", ["trace", "drop"])
def test_rate_needs_a_burst(kind: str) -> None:
    options: dict[str, Any] = {f"{kind}_rate_per_cpu": 10}
    with pytest.raises(ValueError, match=f"{kind}_burst_per_cpu"):
        ProgramOptions(host_netns=1, **options)
    options[f"{kind}_burst_per_cpu"] = 1
    ProgramOptions(host_netns=1, **options)
