"""What is compiled into the programs, and within which bounds.

Made by capture from the daemon's settings; turned into macros of the C programs by `macros`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

SNAPLEN_BYTES = range(64, 60_001)
"""Below, headers would be cut; above, an event outgrows a perf record (64 KiB)."""
RATE_MAX = 100_000_000
"""Bound of the rates: keeps the token arithmetic of ratelimit.h within 64 bits."""
AGGREGATION = {"none": 0, "low": 1, "medium": 2}
"""Level -> AGGREGATION_… of connection.h."""
DROPS = {"all": 0, "watched": 1}
"""Which drops are reported -> DROPS_WATCHED of drop.c."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOptions:
    """What is compiled into the programs; a change needs a new load.

    Raises:
        ValueError: a field is out of its bounds; the text names it.
    """

    host_netns: int
    """Inode of the network namespace whose interfaces are traced: this process's own."""
    snaplen_bytes: int = 128
    """Packet bytes in an event: enough for the headers, options and VLAN tags included."""
    aggregation: str = "medium"
    """"none": an event for each packet; "low": each packet on its way out, and "medium" for the
    way in; "medium": first packets, new TCP flags, and one event an interval for what goes on."""
    aggregation_interval_ns: int = 5_000_000_000
    """Longest time between two events of a connection that has traffic."""
    aggregation_flags: int = 0x07
    """TCP flags (the header's byte) whose first appearance makes an event: FIN, SYN, RST."""
    connections_max: int = 65_536
    """Entries of the connection table, about 290 bytes of kernel memory each."""
    interfaces_max: int = 4_096
    """Interfaces, and namespaces, that can be observed at once."""
    trace_rate_per_cpu: int = 0
    """Trace events a second on each CPU; 0: no limit."""
    trace_burst_per_cpu: int = 0
    """Trace events that may come at once after a pause, where there is a limit."""
    drop_rate_per_cpu: int = 0
    """Drop events a second on each CPU; 0: no limit."""
    drop_burst_per_cpu: int = 0
    """Drop events that may come at once after a pause, where there is a limit."""
    drops: str = "all"
    """"all": every IP packet the kernel drops; "watched": those in watched namespaces or at
    observed interfaces."""

    def __post_init__(self) -> None:
        bounds = {
            "host_netns": range(1, 1 << 32),
            "snaplen_bytes": SNAPLEN_BYTES,
            "aggregation_interval_ns": range(1 << 63),
            "aggregation_flags": range(256),
            "connections_max": range(1, 1 << 24),
            "interfaces_max": range(1, 1 << 20),
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                continue
            bound = bounds.get(field.name, range(RATE_MAX + 1))
            if value not in bound:
                raise ValueError(
                    f"{field.name} is {value}, must be {bound.start} to {bound.stop - 1}"
                )
        for kind in ("trace", "drop"):
            if getattr(self, f"{kind}_rate_per_cpu") and not getattr(self, f"{kind}_burst_per_cpu"):
                raise ValueError(f"{kind}_burst_per_cpu is 0 beside a rate: nothing would pass")
        for name, known in (("aggregation", AGGREGATION), ("drops", DROPS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, must be {' or '.join(known)}")
