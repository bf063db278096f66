from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING, cast

import pytest

from palomar_bpf.errors import LoadError
from palomar_bpf.loader import source
from palomar_bpf.macros import macros
from palomar_bpf.options import ProgramOptions

if TYPE_CHECKING:
    from palomar_bpf.btf import KernelBtf

OPTIONS = ProgramOptions(host_netns=4026531840, trace_rate_per_cpu=7, trace_burst_per_cpu=9)


class FakeBtf:
    """A kernel in which every member is at byte 8, but for those that are missing."""

    def __init__(self, *missing: str, helpers: tuple[str, ...] = ()) -> None:
        self.missing = missing
        self.helpers = helpers

    def offset(self, name: str, path: str) -> int:
        if name in self.missing:
            raise LookupError(f"{path}: this kernel's BTF has no struct {name}")
        return 8

    def enum(self, _name: str) -> dict[str, int]:
        return dict.fromkeys(self.helpers, 1)

    def tracepoint_arguments(self, _name: str) -> int:
        return 4


def values(fake: FakeBtf) -> dict[str, str | int]:
    return macros(OPTIONS, cast("KernelBtf", fake))


@pytest.fixture
def x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_options_become_macros() -> None:
    found = values(FakeBtf())
    assert found["AGGREGATION"] == 2
    assert found["TRACE_RATE"] == "7ULL"
    assert found["DROPS_WATCHED"] == 0
    assert found["HOST_NETNS"] == "4026531840U"
    assert found["KFREE_SKB_ARGUMENTS"] == 4


def test_every_macro_the_programs_use_is_given(x86: None) -> None:
    text = re.sub(r"/\*.*?\*/", "", source(), flags=re.DOTALL)
    defined = set(re.findall(r"#define (\w+)", text))
    names = r"\b(?:OFFSET_\w+|SNAPLEN|AGGREGATION\w*|\w+_MAX|\w+_RATE|\w+_BURST)\b"
    used = set(re.findall(names, text)) - defined
    assert used
    assert used <= set(values(FakeBtf(helpers=("BPF_FUNC_task_pt_regs",))))


def test_kernel_without_a_needed_member_is_not_supported() -> None:
    with pytest.raises(LoadError, match=r"net_device.*not supported"):
        values(FakeBtf("net_device"))


def test_kernel_without_cgroup_pointer_leaves_cgroups_out() -> None:
    assert "OFFSET_KERNFS_NODE_ID" in values(FakeBtf())
    found = values(FakeBtf("sock_cgroup_data"))
    assert not {"OFFSET_CGROUP_NODE", "OFFSET_SOCK_STATE"} & set(found)


def test_tasks_are_told_only_where_that_is_certain(
    monkeypatch: pytest.MonkeyPatch, x86: None
) -> None:
    able = FakeBtf(helpers=("BPF_FUNC_task_pt_regs",))
    assert "TASK_STACK_BYTES" in values(able)
    assert "TASK_STACK_BYTES" not in values(FakeBtf())
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "TASK_STACK_BYTES" not in values(able)
