"""Endpoints: who an address belonged to, and when.

The table is append-only: a flow refers to the row that was valid at its time, so a pod that is gone
keeps its name in the flows that saw it, and an address that moved names the right one. Rows of
endpoints that left are used again once no flow of the ring can refer to them.

Changes come from one thread (the agent's, between batches); readers look rows up by number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.address import (
    MAPPED_PREFIX_BITS,
    MAPPED_PREFIX_LO,
    MASK64,
    Address,
    parse_address,
    parse_prefix,
    prefix_masks,
)
from palomar_server.address_index import AddressIndex

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from palomar_server.address_index import Tenure

IDENTITY_UNKNOWN = 0
IDENTITY_HOST = 1
IDENTITY_WORLD = 2
"""Cilium's reserved identities: none, this node, and every address outside of the cluster."""

_FOREVER_NS = MASK64
_ADDRESS_BITS = 128
_MAPPED_SHIFT = np.uint64(32)
_MAPPED_TOP = np.uint64(MAPPED_PREFIX_LO >> 32)
_TENURES_MAX = 4
"""Owners remembered per address: enough for a flow delayed past several quick restarts of a pod."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is known of one end of a flow."""

    id: int = 0
    """Number of a local endpoint on its node (1..65,535); 0 for others."""
    identity: int = IDENTITY_UNKNOWN
    namespace: str = ""
    pod_name: str = ""
    cluster_name: str = ""
    labels: tuple[str, ...] = ()
    """Sorted `source:key=value`."""
    workloads: tuple[tuple[str, str], ...] = ()
    """(name, kind) of the owning controllers."""


NOBODY = Endpoint()


class EndpointTable:
    """Endpoints by row, and the row that an address had at a time.

    Args:
        rows_max: how many rows may exist; further endpoints are refused and counted.
        grace_ns: how long after its removal an endpoint still owns its addresses, so that the last
            packets of a deleted pod, which often are the interesting ones, still carry its name.
    """

    def __init__(self, *, rows_max: int = 65_535, grace_ns: int = 60_000_000_000) -> None:
        self._rows_max = rows_max
        self._grace_ns = grace_ns
        self._endpoints: list[Endpoint] = [NOBODY]
        self._valid_until_ns = np.full(64, _FOREVER_NS, np.uint64)
        self.identities = np.zeros(64, np.uint32)
        """Identity of each row; shape (at least rows,), dtype uint32."""
        self.ids = np.zeros(64, np.uint16)
        """Local endpoint id of each row, 0 for none; shape (at least rows,), dtype uint16."""
        self._by_id: dict[int, int] = {}
        self._set_row(0, NOBODY)
        self._by_key: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._exact: dict[Address, list[Tenure]] = {}
        self._prefixes: dict[int, dict[Address, list[Tenure]]] = {}
        self._index = AddressIndex({})
        self._prefix_indexes: list[tuple[int, np.uint64, np.uint64, AddressIndex]] = []
        self._stale = False
        self._oldest_ns = 0
        self.generation = 0
        """Grows when a row gets another meaning; caches over rows must then be dropped."""
        self.refused = 0
        """Endpoints that found no free row."""

    def __len__(self) -> int:
        return len(self._endpoints)

    def endpoint(self, row: int) -> Endpoint:
        """The endpoint at `row`; row 0 is nobody."""
        return self._endpoints[row]

    def endpoints(self) -> list[Endpoint]:
        """All rows; the list must not be changed."""
        return self._endpoints

    def upsert(
        self, key: str, endpoint: Endpoint, addresses: Iterable[str], at_ns: int, oldest_ns: int = 0
    ) -> int:
        """Make `endpoint` the owner of `addresses` (and CIDR prefixes) from `at_ns` on.

        An address nobody owned before is its own for earlier times too: an event that overtook the
        news of its pod still gets the pod's name.

        Args:
            key: names the endpoint for later changes and removal, such as `netns:web`.
            endpoint: its properties; while they do not change it keeps its row.
            addresses: all its addresses now; one that another endpoint had moves over.
            at_ns: UTC time of the change.
            oldest_ns: time of the oldest flow that may refer to a row; rows of endpoints that left
                before it may be used again.

        Returns:
            The row, or 0 if the table is full.

        Raises:
            ValueError: an address is not one.
        """
        wanted = {text: self._owners(text) for text in sorted(set(addresses))}
        self._oldest_ns = max(self._oldest_ns, oldest_ns)
        before, had = self._by_key.get(key, (0, ()))
        row = before
        if row == 0 or self._endpoints[row] != endpoint:
            row = self._allocate(endpoint)
            if row == 0:
                return 0
        for text in set(had) - set(wanted):
            owners, address = self._owners(text)
            tenures = owners.get(address)
            # Another endpoint may have it by now, and keeps it.
            if tenures and tenures[-1][1] == before:
                self._hand_over(owners, address, 0, at_ns)
        for owners, address in wanted.values():
            self._hand_over(owners, address, row, at_ns)
        if before and before != row:
            self._valid_until_ns[before] = at_ns
        self._by_key[key] = (row, tuple(wanted))
        return row

    def remove(self, key: str, at_ns: int) -> None:
        """Let the endpoint `key` go at `at_ns`; its addresses stay its own for the grace time."""
        row, _ = self._by_key.pop(key, (0, ()))
        if row:
            self._valid_until_ns[row] = at_ns + self._grace_ns

    def row_at(self, address: Address, time_ns: int) -> int:
        """The row that owned an address at a time; 0 if nobody did."""
        hi, lo = address
        columns = (np.array([number], np.uint64) for number in (hi, lo, time_ns))
        return int(self.rows_at(*columns)[0])

    def row_of_id(self, endpoint_id: int) -> int:
        """The row of the local endpoint that has the id, or had it last; 0 if none."""
        return self._by_id.get(endpoint_id, 0)

    def addresses_of(self, rows: NDArray[np.bool_]) -> list[tuple[Address, int]]:
        """Addresses and prefixes that some rows have or had, as far as that is remembered.

        Args:
            rows: which, shape (at most rows,), dtype bool.

        Returns:
            Each as its numbers and its length in the 128-bit space.
        """
        wanted = set(rows.nonzero()[0].tolist())
        tables = ((_ADDRESS_BITS, self._exact), *list(self._prefixes.items()))
        # Copied first: the agent's thread may change the tables meanwhile.
        return [
            (address, length)
            for length, owners in tables
            for address, tenures in list(owners.items())
            if any(row in wanted for _, row in tuple(tenures))
        ]

    def rows_at(
        self, hi: NDArray[np.uint64], lo: NDArray[np.uint64], time_ns: NDArray[np.uint64]
    ) -> NDArray[np.uint32]:
        """Rows that owned n addresses at n times; an exact address wins, then the longest prefix.

        Args:
            hi: upper halves of the addresses, shape (n,).
            lo: lower halves, shape (n,).
            time_ns: UTC times, shape (n,).

        Returns:
            Shape (n,), dtype uint32; 0 where nobody did.
        """
        if self._stale:
            self._rebuild()
        rows = self._valid(self._index.rows(hi, lo, time_ns), time_ns)
        for length, mask_hi, mask_lo, index in self._prefix_indexes:
            wanted = rows == 0
            if length < MAPPED_PREFIX_BITS:
                # IPv4 addresses lie in ::/0 only as far as numbers go.
                wanted &= (hi != 0) | (lo >> _MAPPED_SHIFT != _MAPPED_TOP)
            unknown = np.flatnonzero(wanted)
            if not unknown.size:
                continue
            times = time_ns[unknown]
            found = index.rows(hi[unknown] & mask_hi, lo[unknown] & mask_lo, times)
            rows[unknown] = self._valid(found, times)
        return rows

    def _valid(self, rows: NDArray[np.uint32], time_ns: NDArray[np.uint64]) -> NDArray[np.uint32]:
        rows[self._valid_until_ns[rows] <= time_ns] = 0
        return rows

    def _allocate(self, endpoint: Endpoint) -> int:
        row = len(self._endpoints)
        if row > self._rows_max:
            gone = np.flatnonzero(self._valid_until_ns[1:row] < self._oldest_ns)
            if not gone.size:
                self.refused += 1
                return 0
            row = int(gone[0]) + 1
            self._forget(row)
            self._set_row(row, endpoint)
            # Last: a reader that sees the new number must find the new meaning.
            self.generation += 1
        else:
            self._endpoints.append(endpoint)
            self._set_row(row, endpoint)
        return row

    def _set_row(self, row: int, endpoint: Endpoint) -> None:
        if row >= len(self.ids):
            self._valid_until_ns = np.resize(self._valid_until_ns, 2 * row)
            self.identities = np.resize(self.identities, 2 * row)
            self.ids = np.resize(self.ids, 2 * row)
        before = self._endpoints[row].id
        if before and self._by_id.get(before) == row:
            del self._by_id[before]
        if endpoint.id:
            self._by_id[endpoint.id] = row
        self._endpoints[row] = endpoint
        self._valid_until_ns[row] = _FOREVER_NS
        self.identities[row] = endpoint.identity
        self.ids[row] = endpoint.id

    def _forget(self, row: int) -> None:
        for owners in (self._exact, *self._prefixes.values()):
            for address, tenures in list(owners.items()):
                tenures[:] = [tenure for tenure in tenures if tenure[1] != row]
                if not tenures:
                    del owners[address]
        self._stale = True

    def _owners(self, text: str) -> tuple[dict[Address, list[Tenure]], Address]:
        if "/" in text:
            address, length = parse_prefix(text)
            if length < _ADDRESS_BITS:
                return self._prefixes.setdefault(length, {}), address
            return self._exact, address
        return self._exact, parse_address(text)

    def _hand_over(
        self, owners: dict[Address, list[Tenure]], address: Address, row: int, at_ns: int
    ) -> None:
        tenures = owners.setdefault(address, [])
        if tenures and tenures[-1][1] == row:
            return
        tenures.append((at_ns if tenures else 0, row))
        del tenures[:-_TENURES_MAX]
        self._stale = True

    def _prune(self) -> None:
        """Forget addresses that nobody has had since the oldest flow."""
        left = set(np.flatnonzero(self._valid_until_ns[: len(self)] < self._oldest_ns).tolist())
        for owners in (self._exact, *self._prefixes.values()):
            for address, tenures in list(owners.items()):
                since_ns, row = tenures[-1]
                if row in left or (row == 0 and since_ns < self._oldest_ns):
                    del owners[address]

    def _rebuild(self) -> None:
        self._prune()
        self._index = AddressIndex(self._exact)
        self._prefix_indexes = [
            (length, np.uint64(masks[0]), np.uint64(masks[1]), AddressIndex(owners))
            for length, owners in sorted(self._prefixes.items(), reverse=True)
            if owners
            for masks in (prefix_masks(length),)
        ]
        self._stale = False
