"""Names of the BPF source files that drop events count.

Numbers as in Cilium 1.19: programs from 1 on, headers from 101 on.
"""

from __future__ import annotations

_FILES = {
    1: "bpf_host.c",
    2: "bpf_lxc.c",
    3: "bpf_overlay.c",
    4: "bpf_xdp.c",
    5: "bpf_sock.c",
    6: "bpf_network.c",
    7: "bpf_wireguard.c",
    101: "drop.h",
    102: "srv6.h",
    103: "icmp6.h",
    104: "nodeport.h",
    105: "lb.h",
    106: "mcast.h",
    107: "ipv4.h",
    108: "conntrack.h",
    109: "local_delivery.h",
    110: "trace.h",
    111: "encap.h",
    112: "host_firewall.h",
    113: "nodeport_egress.h",
    114: "ipv6.h",
    115: "classifiers.h",
}


def source_file(number: int) -> str:
    """The file's name; `unknown(N)` for a number without one."""
    return _FILES.get(number) or f"unknown({number})"
