"""The constants the programs are compiled with: options, and what the running kernel looks like.

In go `ProgramOptions` and BTF; out come the values of the macros that programs/*.h and *.c use and
do not define. Called by loader.
"""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from palomar_bpf.errors import LoadError
from palomar_bpf.options import AGGREGATION, DROPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palomar_bpf.btf import KernelBtf
    from palomar_bpf.options import ProgramOptions

_OFFSETS = {
    "SK_BUFF_DEV": ("sk_buff", "dev"),
    "SK_BUFF_SK": ("sk_buff", "sk"),
    "SK_BUFF_IIF": ("sk_buff", "skb_iif"),
    "SK_BUFF_HASH": ("sk_buff", "hash"),
    "SK_BUFF_HEAD": ("sk_buff", "head"),
    "SK_BUFF_DATA": ("sk_buff", "data"),
    "SK_BUFF_TAIL": ("sk_buff", "tail"),
    "SK_BUFF_LEN": ("sk_buff", "len"),
    "SK_BUFF_PROTOCOL": ("sk_buff", "protocol"),
    "SK_BUFF_MAC_HEADER": ("sk_buff", "mac_header"),
    "SK_BUFF_NETWORK_HEADER": ("sk_buff", "network_header"),
    "NET_DEVICE_TYPE": ("net_device", "type"),
    "NET_DEVICE_NAME": ("net_device", "name"),
    "NET_DEVICE_NET": ("net_device", "nd_net.net"),
    "NET_DEVICE_IFINDEX": ("net_device", "ifindex"),
    "NET_INUM": ("net", "ns.inum"),
    "SOCK_NET": ("sock", "__sk_common.skc_net.net"),
}
_VLAN_OFFSETS = {"SK_BUFF_VLAN_ALL": ("sk_buff", "vlan_all")}
"""Kernels before 6.2 tell by a bit of its own whether there is a tag, which cannot be had."""
_CGROUP_OFFSETS = {
    "SOCK_STATE": ("sock", "__sk_common.skc_state"),
    "SOCK_CGROUP_DATA": ("sock", "sk_cgrp_data"),
    "CGROUP_DATA_CGROUP": ("sock_cgroup_data", "cgroup"),
    "CGROUP_NODE": ("cgroup", "kn"),
    "KERNFS_NODE_ID": ("kernfs_node", "id"),
}
"""Kernels before 5.15 keep the socket's cgroup in another form; there it stays unknown."""
_TASK_OFFSETS = {
    "TASK_STACK": ("task_struct", "stack"),
    "TASK_MM": ("task_struct", "mm"),
    "REGISTERS_SYSTEM_CALL": ("pt_regs", "orig_ax"),
}
_TASK_STACK_BYTES = 16384
"""Size of a kernel stack on x86_64 (THREAD_SIZE of its page_64_types.h)."""


def macros(options: ProgramOptions, btf: KernelBtf) -> dict[str, str | int]:
    """The constants the programs are compiled with: options, and what this kernel looks like.

    Raises:
        LoadError: the kernel lacks a struct member that the programs read.
    """
    values: dict[str, str | int] = {
        "SNAPLEN": options.snaplen_bytes,
        "AGGREGATION": AGGREGATION[options.aggregation],
        "AGGREGATION_INTERVAL_NS": f"{options.aggregation_interval_ns}ULL",
        "AGGREGATION_FLAGS": options.aggregation_flags,
        "CONNECTIONS_MAX": options.connections_max,
        "INTERFACES_MAX": options.interfaces_max,
        "TRACE_RATE": f"{options.trace_rate_per_cpu}ULL",
        "TRACE_BURST": f"{options.trace_burst_per_cpu}ULL",
        "DROP_RATE": f"{options.drop_rate_per_cpu}ULL",
        "DROP_BURST": f"{options.drop_burst_per_cpu}ULL",
        "DROPS_WATCHED": DROPS[options.drops],
        "HOST_NETNS": f"{options.host_netns}U",
        # skb, location; reason from 5.17 on; the receiving socket from 6.11 on.
        "KFREE_SKB_ARGUMENTS": btf.tracepoint_arguments("kfree_skb"),
    }
    try:
        values |= _offsets(_OFFSETS, btf)
    except LookupError as error:
        raise LoadError(f"{error}: this kernel is not supported") from error
    with contextlib.suppress(LookupError):
        values |= _offsets(_VLAN_OFFSETS, btf)
    with contextlib.suppress(LookupError):
        values |= _offsets(_CGROUP_OFFSETS, btf)
    if _knows_own_system_call(btf):
        values |= _offsets(_TASK_OFFSETS, btf) | {"TASK_STACK_BYTES": _TASK_STACK_BYTES}
    return values


def _knows_own_system_call(btf: KernelBtf) -> bool:
    """Whether drop.c can tell that the task on the CPU is in a system call of its own.

    Its way holds on x86_64 without PREEMPT_RT; elsewhere softirqs may run on the stack of whatever
    task they interrupt. The helper it needs came with Linux 5.15.
    """
    return (
        platform.machine() == "x86_64"
        and not Path("/sys/kernel/realtime").exists()
        and "BPF_FUNC_task_pt_regs" in btf.enum("bpf_func_id")
    )


def _offsets(members: Mapping[str, tuple[str, str]], btf: KernelBtf) -> dict[str, str | int]:
    return {f"OFFSET_{name}": btf.offset(*member) for name, member in members.items()}
