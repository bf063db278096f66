"""Security identities: a number for a set of labels, as Cilium's datapath puts it into events."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from palomar_server.bounded import BoundedMap

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESERVED = {
    1: ("reserved:host",),
    2: ("reserved:world",),
    3: ("reserved:unmanaged",),
    4: ("reserved:health",),
    5: ("reserved:init",),
    6: ("reserved:remote-node",),
    7: ("reserved:kube-apiserver", "reserved:remote-node"),
    8: ("reserved:ingress",),
    9: ("reserved:world-ipv4",),
    10: ("reserved:world-ipv6",),
}
"""The same in every cluster; sources need not tell them."""
_SCOPE_SHIFT = 24
_SCOPE_LOCAL = 1
"""Upper byte of identities that a node gives to CIDRs and names for itself."""
_CIDR_SOURCE = "cidr:"
_CLUSTER_KEY = "io.cilium.k8s.policy.cluster"


class Identities:
    """Labels by identity. Belongs to the agent's thread; others may read.

    Args:
        entries_max: how many may be known besides the reserved ones.
    """

    def __init__(self, entries_max: int = 65_536) -> None:
        self._labels: BoundedMap[int, tuple[str, ...]] = BoundedMap(entries_max)

    @property
    def generation(self) -> int:
        """Grows when an identity gets other labels."""
        return self._labels.generation

    @property
    def refused(self) -> int:
        """Identities that found no room."""
        return self._labels.refused

    def labels(self, identity: int) -> tuple[str, ...] | None:
        """The labels of an identity as they were told; None for one that is not known."""
        return self._labels.get(identity) or _RESERVED.get(identity)

    def put(self, identity: int, labels: tuple[str, ...] | None) -> None:
        """Set the labels of an identity, or with None forget them."""
        self._labels.put(identity, labels)


def shown_labels(labels: Iterable[str], identity: int) -> list[str]:
    """The labels of an identity as flows show them: sorted.

    A CIDR's identity has labels for all prefixes around it too; only the longest one is shown, and
    never that of all addresses, as in Hubble.
    """
    if identity >> _SCOPE_SHIFT != _SCOPE_LOCAL:
        return sorted(labels)
    shown = []
    longest, longest_bits = "", 0
    for label in labels:
        if not label.startswith(_CIDR_SOURCE):
            shown.append(label)
        elif (bits := _prefix_bits(label)) > longest_bits:
            longest, longest_bits = label, bits
    return sorted([*shown, longest] if longest else shown)


def _prefix_bits(label: str) -> int:
    # Labels cannot hold colons, so IPv6 prefixes have dashes there.
    text = label.removeprefix(_CIDR_SOURCE).replace("-", ":")
    try:
        # Without a length it would be taken for an address.
        return ipaddress.ip_network(text, strict=False).prefixlen if "/" in text else 0
    except ValueError:
        return 0


def cluster_of(labels: Iterable[str]) -> str:
    """The cluster that labels name; empty if they name none."""
    for label in labels:
        key, _, value = label.partition("=")
        if key.partition(":")[2] == _CLUSTER_KEY:
            return value
    return ""
