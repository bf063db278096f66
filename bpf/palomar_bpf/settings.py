"""Settings of live capture; the server fills them from its own.

In go plain values, checked when the object is made; used by `palomar_bpf.capture`.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Final, Literal, get_args

from palomar_bpf.attachment import AttachMethod
from palomar_bpf.options import ProgramOptions
from palomar_bpf.reasons import DEFAULT_IGNORED

TCP_FLAGS: Final = {
    "fin": 0x01,
    "syn": 0x02,
    "rst": 0x04,
    "psh": 0x08,
    "ack": 0x10,
    "urg": 0x20,
    "ece": 0x40,
    "cwr": 0x80,
}
"""Name -> bit of the TCP header's flags byte (RFC 9293, RFC 3168)."""

_PAGES_MAX = 1 << 14
_EVENT_OVERHEAD_BYTES = 256
"""More than an event and its record take beside the packet's bytes."""
_COALESCE_MAX_S = 0.1
_INTERVAL_MAX_S = 3600.0
_NS_PER_S = 1_000_000_000
_ANY_NETNS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """What live capture watches, and how much it may take.

    Raises:
        ValueError: a field is out of range; the text names it and its value.
    """

    interfaces: tuple[str, ...] = ()
    """Patterns (fnmatch) of interface names. Default: none, which stands for all veths and the
    devices of the default route, where pods' and the node's packets pass. lo must be named in full:
    all on it is local, and would be seen twice."""
    snaplen_bytes: int = 128
    """Bytes of each packet that an event carries. Default 128: room for the headers up to TCP, IP
    options and tags included. `palomar record` has whole packets whatever stands here."""
    pages_per_cpu: int = 64
    """Size of each CPU's perf ring in pages of memory, a power of two. Default 64: 256 KiB, a
    millisecond of the fastest flood or a second of 1,000 events/s."""
    record_pages_per_cpu: int = 2_048
    """The same of the ring for packets that are recorded, which there is only while some are.
    Default 2,048: 8 MiB, 128 packets of the largest size."""
    coalesce_max_s: float = 0.015
    """Seconds that events of a busy node may wait for company. Default 0.015: unnoticed by humans,
    and a batch's fixed costs are shared by all events of 15 ms. 0: never wait."""
    coalesce_unwatched_max_s: float = 0.03
    """The same while nobody waits for events, only the ring does. Default 0.03: what somebody asks
    for then is at most that old, and a busy node's events cost a third less CPU."""
    aggregation: Literal["none", "low", "medium"] = "medium"
    """How much connections are summed up in the kernel. "none": an event for each packet and point;
    "low": for each packet towards an endpoint or network; "medium", the default: for first packets,
    new TCP flags and the interval only, which is what flows are needed for."""
    aggregation_interval_s: float = 5.0
    """Seconds after which a connection with traffic is reported again. Default 5, like Cilium."""
    aggregation_flags: tuple[str, ...] = ("syn", "fin", "rst")
    """TCP flags that are reported at once when a connection first shows them. Default: those that
    begin and end connections."""
    connections_max: int = 65_536
    """Connections the kernel remembers, for direction and aggregation; the one idle longest makes
    room. Default 65,536: some 19 MB of kernel memory."""
    interfaces_max: int = 4_096
    """Interfaces, and namespaces, that can be known to the kernel side. Default 4,096: ten times
    the pods of a big node."""
    drops: Literal["all", "watched", "off"] = "all"
    """Which packets that the kernel drops are reported: "all", the default, since drops in places
    nobody watches are those nobody finds; "watched": at observed interfaces and in the namespaces
    set so; "off": none."""
    ignored_drop_reasons: tuple[str, ...] = DEFAULT_IGNORED
    """Names of kernel drop reasons that are not reported; names the kernel does not have do no
    harm. Default: `reasons.DEFAULT_IGNORED`, which are no loss to anybody."""
    attach_method: AttachMethod = "auto"
    """How programs get on interfaces. Default "auto": tcx, whose links end with the process, and
    clsact filters on kernels before 6.6. "tcx" or "clsact" insist on one."""
    trace_rate_per_cpu: int = 200_000
    """Packets seen, in events a second on each CPU; more are withheld and counted. Default 200,000:
    what one CPU can emit without noticeable harm to its traffic. 0: no limit."""
    trace_burst_per_cpu: int = 400_000
    """Events that may exceed `trace_rate_per_cpu` at once. Default 400,000: two seconds' worth."""
    drop_rate_per_cpu: int = 20_000
    """Drops, in events a second on each CPU; more are withheld and counted. Default 20,000: tells
    all about an accident, and is little enough for a flood that is dropped on purpose. 0: no limit.
    """
    drop_burst_per_cpu: int = 40_000
    """Events that may exceed `drop_rate_per_cpu` at once. Default 40,000: two seconds' worth."""

    def __post_init__(self) -> None:
        for name in ("pages_per_cpu", "record_pages_per_cpu"):
            pages = getattr(self, name)
            if not 1 <= pages <= _PAGES_MAX or pages & (pages - 1):
                raise ValueError(f"{name} is {pages}, must be a power of two to {_PAGES_MAX}")
        # A ring that is read once it is half full must hold an event in its other half.
        snaplen_max_bytes = self.pages_per_cpu * mmap.PAGESIZE // 2 - _EVENT_OVERHEAD_BYTES
        if self.snaplen_bytes > snaplen_max_bytes:
            raise ValueError(
                f"snaplen_bytes is {self.snaplen_bytes}, must be at most {snaplen_max_bytes} with "
                f"pages_per_cpu {self.pages_per_cpu}: raise pages_per_cpu"
            )
        for name, longest_s in (
            ("coalesce_max_s", _COALESCE_MAX_S),
            ("coalesce_unwatched_max_s", _COALESCE_MAX_S),
            ("aggregation_interval_s", _INTERVAL_MAX_S),
        ):
            value_s = getattr(self, name)
            if not 0 <= value_s <= longest_s:  # not a number is refused, too
                raise ValueError(f"{name} is {value_s}, must be 0 to {longest_s:g}")
        for flag in self.aggregation_flags:
            if flag not in TCP_FLAGS:
                known = ", ".join(TCP_FLAGS)
                raise ValueError(f"aggregation_flags has {flag!r}, known are {known}")
        if self.drops not in {"all", "watched", "off"}:
            raise ValueError(f"drops is {self.drops!r}, must be all, watched or off")
        if self.attach_method not in get_args(AttachMethod):
            methods = ", ".join(get_args(AttachMethod))
            raise ValueError(f"attach_method is {self.attach_method!r}, must be one of {methods}")
        self.program_options(_ANY_NETNS)

    def program_options(self, host_netns: int) -> ProgramOptions:
        """The part that is compiled into the programs, which checks its own bounds.

        Args:
            host_netns: Inode of the network namespace to watch from.
        """
        return ProgramOptions(
            host_netns=host_netns,
            snaplen_bytes=self.snaplen_bytes,
            aggregation=self.aggregation,
            aggregation_interval_ns=round(self.aggregation_interval_s * _NS_PER_S),
            aggregation_flags=sum(TCP_FLAGS[flag] for flag in set(self.aggregation_flags)),
            connections_max=self.connections_max,
            interfaces_max=self.interfaces_max,
            trace_rate_per_cpu=self.trace_rate_per_cpu,
            trace_burst_per_cpu=self.trace_burst_per_cpu,
            drop_rate_per_cpu=self.drop_rate_per_cpu,
            drop_burst_per_cpu=self.drop_burst_per_cpu,
            drops="all" if self.drops == "off" else self.drops,
        )
