from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from palomar_bpf import payload

if TYPE_CHECKING:
    import numpy as np

HEADER = (resources.files("palomar_bpf") / "programs" / "event.h").read_text(encoding="utf-8")
WIDTHS = {"u8": 1, "s8": 1, "char": 1, "u16": 2, "u32": 4, "u64": 8}


def layout(struct: str) -> dict[str, tuple[int, int]]:
    """Member -> (offset, size) of a struct in event.h, aligned as C compilers do."""
    match = re.search(rf"struct {struct} {{(.*?)}};", HEADER, re.DOTALL)
    assert match
    members: dict[str, tuple[int, int]] = {}
    at = 0
    for kind, name, count in re.findall(r"(?:struct )?(\w+) (\w+)(?:\[(\d+)\])?;", match[1]):
        if kind in WIDTHS:
            width, size = WIDTHS[kind], WIDTHS[kind] * int(count or 1)
            at += -at % width
            members[name] = (at, size)
        else:
            inner = layout(kind)
            size = sum(size for _, size in inner.values())
            at += -at % 8 if kind == "extension" else -at % 4
            members |= {key: (at + offset, wide) for key, (offset, wide) in inner.items()}
        at += size
    return members


def fields(dtype: np.dtype[np.void], base: int = 0) -> dict[str, tuple[int, int]]:
    assert dtype.fields
    return {name: (base + spec[1], spec[0].itemsize) for name, spec in dtype.fields.items()}


@pytest.mark.parametrize(
    ("struct", "head"), [("trace_event", payload.TRACE_HEAD), ("drop_event", payload.DROP_HEAD)]
)
def test_events_are_laid_out_as_in_event_h(struct: str, head: np.dtype[np.void]) -> None:
    block = fields(payload.EXTENSION, head.itemsize)
    ours = fields(head) | {name: spec for name, spec in block.items() if name != "flags"}
    theirs = layout(struct)
    # Head and block both have flags, and the block's comes last.
    assert theirs.pop("flags") == block["flags"]
    assert ours.pop("flags") == fields(head)["flags"]
    assert theirs == ours


def test_constants_are_those_of_event_h() -> None:
    defines = dict(re.findall(r"#define (\w+) (\w+)", HEADER))
    numbers = {name: int(value, 0) for name, value in defines.items()}
    assert numbers["EXT_VERSION"] == payload.EXT_VERSION
    assert numbers["MESSAGE_DROP"] == payload.MessageType.DROP
    assert numbers["MESSAGE_TRACE"] == payload.MessageType.TRACE
    assert numbers["DROP_SUBTYPE_KERNEL"] == payload.DROP_SUBTYPE_KERNEL
    assert numbers["MESSAGE_FLAG_IPV6"] == payload.DROP_FLAG_IPV6
    assert numbers["MESSAGE_FLAG_L3_DEVICE"] == payload.DROP_FLAG_L3_DEVICE
    assert numbers["EXTENSION_FLAG_TASK"] == payload.EXTENSION_FLAG_TASK
    assert numbers["EXTENSION_FLAG_L3"] == payload.EXTENSION_FLAG_L3
    for prefix, members in (
        ("POINT_", payload.ObservationPoint),
        ("TRACE_", payload.TraceReason),
        ("CONNECTION_", payload.ConnectionState),
    ):
        for name, value in numbers.items():
            if name.startswith(prefix):
                assert members[name.removeprefix(prefix)] == value


def test_heads_have_the_lengths_of_cilium() -> None:
    lengths = {
        "HEAD": 16,
        "TRACE_HEAD": 32,
        "TRACE_HEAD_V1": 48,
        "TRACE_HEAD_V2": 56,
        "DROP_HEAD_V0": 36,
        "DROP_HEAD": 40,
        "DROP_HEAD_V3": 48,
        "POLICY_VERDICT_HEAD": 40,
        "DEBUG_CAPTURE_HEAD": 24,
        "TRACE_SOCK_HEAD": 40,
    }
    assert {name: getattr(payload, name).itemsize for name in lengths} == lengths


@pytest.mark.parametrize(
    ("head", "offsets"),
    [
        (payload.TRACE_HEAD_V2, {"orig_ip_hi": 32, "ip_trace_id": 48}),
        (payload.DROP_HEAD_V3, {"line": 28, "ext_error": 31, "flags": 36, "ip_trace_id": 40}),
        (
            payload.POLICY_VERDICT_HEAD,
            {"remote_label": 16, "verdict": 20, "flags": 27, "auth_type": 28, "cookie": 32},
        ),
        (payload.DEBUG_CAPTURE_HEAD, {"len_cap": 8, "len_orig": 12, "arg1": 16}),
        (
            payload.TRACE_SOCK_HEAD,
            {
                "protocol": 2,
                "flags": 3,
                "dst_port": 4,
                "cookie": 8,
                "cgroup_id": 16,
                "dst_ip_hi": 24,
            },
        ),
    ],
)
def test_members_stand_where_cilium_has_them(
    head: np.dtype[np.void], offsets: dict[str, int]
) -> None:
    assert {name: fields(head)[name][0] for name in offsets} == offsets
