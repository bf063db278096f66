"""What payloads refer to but do not carry: names of reasons, kernel functions and links, the clock.

Sources deliver it as context (plain JSON objects, changes only) between their batches, live capture
and replayed files alike, so that a file plays back exactly what was seen live.

Keys of a context object, all optional:
- `node_name`: str.
- `boot_offset_ns`: int, CLOCK_REALTIME − CLOCK_BOOTTIME of the node.
- `reasons`: {kernel reason number: name}; `symbols`: {kernel address: function}; `links`:
  {ifindex in the node's namespace: name, or null when it is gone}.
- `endpoints`: {key: {"at_ns", "addresses", and the fields of `Endpoint`}, or {"removed_ns"}}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from palomar_proto.palomar.v1 import drop_reason_pb2
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.interned import Interned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Context: TypeAlias = dict[str, Any]
"""A context object as described above."""

KERNEL_DROP_REASON_BASE = 1000
"""flow.DropReason of a kernel drop is this plus palomar.v1.KernelDropReason."""

_STABLE_REASONS = dict(drop_reason_pb2.KernelDropReason.items())
_SYMBOLS_MAX = 65_536
_LOOKUP_MARGIN_NS = 60_000_000_000
"""A link in use is looked up anew with each `boot_offset_ns`; this is a few times as long."""
_TIME_BITS = 63
"""Of times in a context object: grace times are added to them."""
_LINK_ROWS = 65_536
"""Interfaces with a larger ifindex are looked up one by one."""


class ContextError(ValueError):
    """A context object is not understood; the text names the key."""


@dataclass(frozen=True, slots=True)
class DropSite:
    """Where and why the kernel dropped a packet; either may be empty."""

    reason: str
    function: str


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface, as numbered and named in its own namespace."""

    index: int
    name: str


class Surroundings:
    """The current meaning of the numbers in payloads. Belongs to the agent's thread.

    Args:
        endpoints: the table that endpoint changes go to.
        find_symbol: names the kernel function at an address, '' if unknown; replay has none and
            relies on the recorded `symbols`.
    """

    def __init__(
        self, endpoints: EndpointTable, find_symbol: Callable[[int], str] | None = None
    ) -> None:
        self.endpoints = endpoints
        self.interfaces: Interned[Interface] = Interned(Interface(0, ""))
        self.drop_sites: Interned[DropSite] = Interned(DropSite("", ""))
        self.boot_offset_ns = 0
        self.node_name = ""
        """The node the payloads are from, as cluster/node; empty until a context says so."""
        self._renamed = 0
        self._now_ns = 0
        self._oldest_ns = 0
        self._links: dict[int, str] = {}
        self._link_rows = np.zeros(_LINK_ROWS, np.uint32)
        self._reasons: dict[int, str] = {}
        self._symbols: dict[int, str] = {}
        self._find_symbol = find_symbol
        self._fresh_symbols: dict[str, str] = {}

    @property
    def generation(self) -> int:
        """Grows when a row or the node gets another name; what was made of them is then stale."""
        rows = self.interfaces.generation + self.drop_sites.generation
        return self.endpoints.generation + rows + self._renamed

    def at(self, now_ns: int) -> None:
        """Note the time of the batch that is about to be decoded, UTC ns."""
        self._now_ns = now_ns

    def apply(self, context: Context, oldest_ns: int = 0) -> None:
        """Take in the changes of a context object.

        Args:
            context: as in the module's description; unknown keys are left alone, so that newer
                recordings play on older servers.
            oldest_ns: time of the oldest flow that may refer to an endpoint row.

        Raises:
            ContextError: a value has the wrong form; names the key.
        """
        self._oldest_ns = max(self._oldest_ns, oldest_ns - _LOOKUP_MARGIN_NS)
        where = "node_name"
        try:
            if (name := str(context.get("node_name", self.node_name))) != self.node_name:
                self.node_name = name
                self._renamed += 1
            where = "boot_offset_ns"
            if "boot_offset_ns" in context:
                # It comes every few seconds: look the links up anew, so that those in use stay.
                self._link_rows[:] = 0
            self.boot_offset_ns = int(context.get("boot_offset_ns", self.boot_offset_ns))
            where = "reasons"
            for number, name in context.get("reasons", {}).items():
                self._reasons[int(number)] = str(name)
            where = "symbols"
            for address, name in context.get("symbols", {}).items():
                self._symbols[int(address)] = str(name)
            where = "links"
            for ifindex, name in context.get("links", {}).items():
                self._apply_link(int(ifindex), name)
            where = "endpoints"
            for key, change in context.get("endpoints", {}).items():
                where = f"endpoints[{key!r}]"
                self._apply_endpoint(key, change, oldest_ns)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ContextError(
                f"{where} of a context object is not understood: {type(error).__name__}: {error}"
            ) from error

    def _apply_link(self, ifindex: int, name: str | None) -> None:
        if name is None:
            self._links.pop(ifindex, None)
        else:
            self._links[ifindex] = str(name)
        if 0 <= ifindex < _LINK_ROWS:
            self._link_rows[ifindex] = 0

    def _apply_endpoint(self, key: str, change: dict[str, Any], oldest_ns: int) -> None:
        if "removed_ns" in change:
            self.endpoints.remove(key, _unsigned(change["removed_ns"], _TIME_BITS))
            return
        endpoint = Endpoint(
            id=_unsigned(change.get("id", 0), 16),
            identity=_unsigned(change.get("identity", 0), 32),
            namespace=str(change.get("namespace", "")),
            pod_name=str(change.get("pod_name", "")),
            cluster_name=str(change.get("cluster_name", "")),
            labels=tuple(map(str, change.get("labels", ()))),
            workloads=tuple((str(name), str(kind)) for name, kind in change.get("workloads", ())),
        )
        at_ns = _unsigned(change["at_ns"], _TIME_BITS)
        self.endpoints.upsert(key, endpoint, change["addresses"], at_ns, oldest_ns=oldest_ns)

    def drop_reason(self, number: int) -> int:
        """flow.DropReason for the running kernel's reason `number`."""
        name = self._reasons.get(number)
        if name is None:
            stable = drop_reason_pb2.KERNEL_OTHER if number else drop_reason_pb2.KERNEL_UNKNOWN
        else:
            stable = _STABLE_REASONS.get(name, drop_reason_pb2.KERNEL_OTHER)
        return KERNEL_DROP_REASON_BASE + stable

    def drop_site(self, location: int, reason_number: int) -> int:
        """Row of `drop_sites` for a kernel address and the running kernel's reason."""
        reason = self._reasons.get(
            reason_number, f"reason {reason_number}" if reason_number else ""
        )
        site = DropSite(reason, self._symbol(location))
        return self.drop_sites.row(site, self._now_ns, self._oldest_ns)

    def interface(self, ifindex: int, name: str) -> int:
        """Row of `interfaces` for an interface as its namespace has it."""
        return self.interfaces.row(Interface(ifindex, name), self._now_ns, self._oldest_ns)

    def link_rows(self, ifindexes: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Rows of `interfaces` for n ifindexes of the node's own namespace; 0 stays 0.

        Args:
            ifindexes: shape (n,), dtype uint32.

        Returns:
            Shape (n,), dtype uint32.
        """
        # The last slot stays 0, so that what lies beyond it counts as not known.
        rows = self._link_rows.take(ifindexes, mode="clip")
        if np.count_nonzero(rows) == len(rows):
            return rows
        for ifindex in np.unique(ifindexes[(rows == 0) & (ifindexes != 0)]).tolist():
            row = self.interface(ifindex, self._links.get(ifindex, ""))
            rows[ifindexes == ifindex] = row
            if ifindex < _LINK_ROWS - 1:
                self._link_rows[ifindex] = row
        return rows

    def _symbol(self, address: int) -> str:
        name = self._symbols.get(address)
        if name is None:
            name = self._find_symbol(address) if self._find_symbol and address else ""
            if len(self._symbols) < _SYMBOLS_MAX:
                self._symbols[address] = name
                if name:
                    self._fresh_symbols[str(address)] = name
        return name

    def take_fresh_symbols(self) -> dict[str, str]:
        """Functions named since the last call, for whoever records what the payloads mean."""
        fresh, self._fresh_symbols = self._fresh_symbols, {}
        return fresh


def _unsigned(value: Any, bits: int) -> int:
    """The number, if its column can hold it."""
    number = int(value)
    if not 0 <= number < 1 << bits:
        raise ValueError(f"{number} is no unsigned number of {bits} bits")
    return number
