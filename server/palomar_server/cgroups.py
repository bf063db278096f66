"""Cgroups of pods: who made a socket call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.address import MAPPED_PREFIX_LO
from palomar_server.bounded import BoundedMap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from palomar_server.address import Address

_NOWHERE: Address = (0, 0)


class Cgroups:
    """Addresses of the pod that a cgroup belongs to. For the agent's thread.

    Args:
        entries_max: how many cgroups may be known.
    """

    def __init__(self, entries_max: int = 65_536) -> None:
        self._pods: BoundedMap[int, tuple[Address, Address]] = BoundedMap(entries_max)

    @property
    def refused(self) -> int:
        """Cgroups that found no room."""
        return self._pods.refused

    def put(self, cgroup_id: int, addresses: Iterable[Address] | None) -> None:
        """Set the addresses of a cgroup's pod, the main one of each family first; None forgets."""
        if addresses is None:
            self._pods.put(cgroup_id, None)
            return
        by_family: dict[bool, Address] = {}
        for address in addresses:
            by_family.setdefault(_is_ipv4(address), address)
        found = by_family.get(True, _NOWHERE), by_family.get(False, _NOWHERE)
        self._pods.put(cgroup_id, found)

    def addresses(
        self, cgroup_ids: NDArray[np.uint64], is_ipv6: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """The pods' addresses for n cgroups, of one family each.

        Args:
            cgroup_ids: shape (n,), dtype uint64.
            is_ipv6: which family, shape (n,), dtype bool.

        Returns:
            Both halves, shape (n,), dtype uint64; both 0 where the cgroup is of no pod that is
            known, or its pod has no address of the family.
        """
        # A node has few pods that make calls at a time: one look at each of them.
        ids, index_of = np.unique(cgroup_ids, return_inverse=True)
        pods = [self._pods.get(cgroup_id) or (_NOWHERE, _NOWHERE) for cgroup_id in ids.tolist()]
        table = np.array(pods, np.uint64).reshape(-1, 2, 2)
        chosen = table[index_of, is_ipv6.astype(np.intp)]
        return chosen[:, 0], chosen[:, 1]


def _is_ipv4(address: Address) -> bool:
    return address[0] == 0 and address[1] >> 32 == MAPPED_PREFIX_LO >> 32
