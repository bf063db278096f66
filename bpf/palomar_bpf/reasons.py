"""What the running kernel calls its drop reasons, and which of them are no drops.

In goes BTF; out come names by number. The kernel renumbers its enum between releases, so only names
mean anything beyond the machine. Called by capture (the `ignored_reasons` map) and, through it, by
the server's decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from palomar_bpf.btf import KernelBtf

DEFAULT_IGNORED = (
    # A socket was closed with something left in its queue. That is the FIN of every connection that
    # the other side closed first, and the copies a raw socket (ping) did not read.
    "QUEUE_PURGE",
    # A segment that has been received before: each TCP keepalive and each probe of a closed window
    # is one by design, and is answered.
    "TCP_OLD_SEQUENCE",
    # The same data arrived twice, after a retransmission that turned out to be needless …
    "TCP_OLD_DATA",
    # … or twice ahead of a gap.
    "TCP_OFOMERGE",
    # A frame for another machine's address, seen because the device is promiscuous or its bridge
    # floods: nothing this machine should have delivered.
    "OTHERHOST",
)
"""Reasons for which the kernel frees packets in traffic where nothing is lost."""

_CORE_ENUM = "skb_drop_reason"
_CORE_PREFIXES = ("SKB_DROP_REASON_", "SKB_")
"""The first that fits is cut, once: SKB_DROP_REASON_SKB_CSUM is SKB_CSUM."""
_CORE_MARKS = frozenset({"MAX", "SUBSYS_MASK"})
"""Names in the enum that are bounds, not reasons."""

_SUBSYSTEM_ENUMS = (("mac80211_drop_reason", "mac80211"), ("ovs_drop_reason", "openvswitch"))
"""Enums of subsystems and the modules that bring them."""
_SUBSYSTEM_FIRST = 1 << 16
"""A subsystem's reasons carry its number in the upper half; the other values are no reasons."""


def reason_names(btf: KernelBtf) -> dict[int, str]:
    """Return number -> name of all drop reasons, without their prefix; empty before Linux 5.17.

    The reasons of subsystems that are modules appear if the module is loaded.
    """
    names = {}
    for name, number in btf.enum(_CORE_ENUM).items():
        prefix = next((known for known in _CORE_PREFIXES if name.startswith(known)), "")
        short = name.removeprefix(prefix)
        if short not in _CORE_MARKS:
            names[number] = short
    for enum, module in _SUBSYSTEM_ENUMS:
        reasons = btf.enum(enum) or btf.enum(enum, module)
        for name, number in reasons.items():
            if number >= _SUBSYSTEM_FIRST:
                names.setdefault(number, name.lstrip("_"))
    return names


def reason_numbers(names: Iterable[str], by_number: Mapping[int, str]) -> list[int]:
    """Return the running kernel's numbers of named reasons; names it does not have are left out."""
    wanted = frozenset(names)
    return [number for number, name in by_number.items() if name in wanted]
