"""What payloads refer to but do not carry: names of reasons, kernel functions and links, the clock.

Sources deliver it as context (plain JSON objects, changes only) between their batches, live capture
and replayed files alike, so that a file plays back exactly what was seen live.

Keys of a context object, all optional; null in the place of a value forgets it:
- `node_name`: str.
- `started_ns`: int, when the agent started, UTC ns: for `agent_notice` alone.
- `boot_offset_ns`: int, CLOCK_REALTIME − CLOCK_BOOTTIME of the node.
- `reasons`: {kernel reason number: name}; `symbols`: {kernel address: function}; `links`:
  {ifindex in the node's namespace: name or null}.
- `endpoints`: {key: {"at_ns", "addresses", and the fields of `Endpoint`}, or {"removed_ns"}}. Those
  with an `id` are local; others need no labels where their identity tells them.
- `identities`: {identity: [label, …] or null}.
- `services`: {address: {port: {"name", "namespace"} or null}}; port 0 for all without their own.
- `dns_names`: {id of a local endpoint: {address: [name it knows it by, …] or null}}; id 0 for names
  that everybody knows.
- `policies`: {id of a local endpoint: [{"direction": "ingress" or "egress", "identity", "protocol",
  "port", "rules": [[label of a rule, …], …], "revision", "log": [text, …]}, …] or null}, the whole
  policy of the endpoint; of identity, protocol and port 0 is a wildcard.
- `cgroups`: {cgroup id: {"addresses": [address of its pod, …]} or null}.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from palomar_proto.palomar.v1 import drop_reason_pb2
from palomar_server import context_object
from palomar_server.address import parse_address
from palomar_server.cgroups import Cgroups
from palomar_server.context_object import TIME_BITS, text, texts, unsigned
from palomar_server.identities import Identities
from palomar_server.interned import Interned
from palomar_server.names import Names
from palomar_server.policies import Policies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from palomar_server.endpoints import EndpointTable

Context: TypeAlias = dict[str, Any]
"""A context object as described above."""

KERNEL_DROP_REASON_BASE = 1000
"""flow.DropReason of a kernel drop is this plus palomar.v1.KernelDropReason."""

_STABLE_REASONS = dict(drop_reason_pb2.KernelDropReason.items())
_SYMBOLS_MAX = 65_536
_LOOKUP_MARGIN_NS = 60_000_000_000
"""A link in use is looked up anew with each `boot_offset_ns`; this is a few times as long."""
_FORMER_LINKS_MAX = 1_024
"""Links that are gone whose names are kept."""
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
        identities: tables to fill, where their limits are not to be the usual ones; the same for
            `names`, `policies` and `cgroups`.
    """

    def __init__(
        self,
        endpoints: EndpointTable,
        find_symbol: Callable[[int], str] | None = None,
        *,
        identities: Identities | None = None,
        names: Names | None = None,
        policies: Policies | None = None,
        cgroups: Cgroups | None = None,
    ) -> None:
        self.endpoints = endpoints
        self.identities = identities or Identities()
        self.names = names or Names()
        self.policies = policies or Policies()
        self.cgroups = cgroups or Cgroups()
        self.interfaces: Interned[Interface] = Interned(Interface(0, ""))
        self.drop_sites: Interned[DropSite] = Interned(DropSite("", ""))
        self.boot_offset_ns = 0
        self.node_name = ""
        """The node the payloads are from, as cluster/node; empty until a context says so."""
        self._renamed = 0
        self._now_ns = 0
        self._oldest_ns = 0
        self._oldest_flow_ns = 0
        self._links: dict[int, str] = {}
        self._former_links: dict[int, str] = {}
        self._link_rows = np.zeros(_LINK_ROWS, np.uint32)
        self._reasons: dict[int, str] = {}
        self._symbols: dict[int, str] = {}
        self._find_symbol = find_symbol
        self._fresh_symbols: dict[str, str] = {}
        self._tables: dict[str, Callable[[str, Any], None]] = {
            "reasons": self._apply_reason,
            "symbols": self._apply_symbol,
            "links": self._apply_link,
            "endpoints": self._apply_endpoint,
            "identities": self._apply_identity,
            "services": self._apply_services,
            "dns_names": self._apply_dns_names,
            "policies": self._apply_policy,
            "cgroups": self._apply_cgroup,
        }

    @property
    def generation(self) -> int:
        """Grows when anything gets another meaning; what was made of it is then stale."""
        return (
            self.endpoints.generation
            + self.interfaces.generation
            + self.drop_sites.generation
            + self.identities.generation
            + self.names.generation
            + self.policies.generation
            + self._renamed
        )

    @property
    def links(self) -> Mapping[int, str]:
        """Names of observed links by ifindex in the node's own namespace; empty where unknown.

        It changes with the context: whoever goes through all of it keeps the agent apart.
        """
        return self._links

    @property
    def known_links(self) -> Mapping[int, str]:
        """As `links`, and behind those the last that are gone: their packets may be on the way."""
        return ChainMap(self._links, self._former_links)

    @property
    def refused(self) -> dict[str, int]:
        """How much found no room in each table, by what it was."""
        return {
            "endpoints": self.endpoints.refused,
            "interfaces": self.interfaces.refused,
            "drop sites": self.drop_sites.refused,
            "identities": self.identities.refused,
            "names": self.names.refused,
            "policies": self.policies.refused,
            "cgroups": self.cgroups.refused,
        }

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
        self._oldest_flow_ns = oldest_ns
        where = "node_name"
        try:
            if (name := text(context.get("node_name", self.node_name))) != self.node_name:
                self.node_name = name
                self._renamed += 1
            where = "boot_offset_ns"
            if "boot_offset_ns" in context:
                # It comes every few seconds: look the links up anew, so that those in use stay.
                self._link_rows[:] = 0
            self.boot_offset_ns = int(context.get("boot_offset_ns", self.boot_offset_ns))
            for name, apply in self._tables.items():
                where = name
                for key, change in context.get(name, {}).items():
                    where = f"{name}[{key!r}]"
                    apply(key, change)
        except context_object.NOT_UNDERSTOOD as error:
            raise ContextError(
                f"{where} of a context object is not understood: {type(error).__name__}: {error}"
            ) from error

    def _apply_reason(self, key: str, name: str) -> None:
        self._reasons[int(key)] = text(name)

    def _apply_symbol(self, key: str, name: str) -> None:
        self._symbols[int(key)] = text(name)

    def _apply_link(self, key: str, name: str | None) -> None:
        ifindex = int(key)
        if name is None:
            if (former := self._links.pop(ifindex, None)) is not None:
                self._former_links.pop(ifindex, None)
                self._former_links[ifindex] = former
                if len(self._former_links) > _FORMER_LINKS_MAX:
                    del self._former_links[next(iter(self._former_links))]
        else:
            self._links[ifindex] = text(name)
        if 0 <= ifindex < _LINK_ROWS:
            self._link_rows[ifindex] = 0

    def _apply_endpoint(self, key: str, change: dict[str, Any]) -> None:
        if "removed_ns" in change:
            self.endpoints.remove(key, unsigned(change["removed_ns"], TIME_BITS))
            return
        endpoint = context_object.endpoint(change)
        at_ns = unsigned(change["at_ns"], TIME_BITS)
        oldest_ns = self._oldest_flow_ns
        self.endpoints.upsert(key, endpoint, change["addresses"], at_ns, oldest_ns=oldest_ns)

    def _apply_identity(self, key: str, labels: list[str] | None) -> None:
        known = None if labels is None else context_object.labels(labels)
        self.identities.put(unsigned(key, 32), known)

    def _apply_services(self, key: str, change: dict[str, dict[str, Any] | None]) -> None:
        address = parse_address(key)
        for port, value in change.items():
            service = None if value is None else context_object.service(value)
            self.names.put_service(address, unsigned(port, 16), service)

    def _apply_dns_names(self, key: str, change: dict[str, list[str] | None]) -> None:
        endpoint_id = unsigned(key, 16)
        for address, names in change.items():
            known = None if names is None else texts(names)
            self.names.put_dns(endpoint_id, parse_address(address), known)

    def _apply_policy(self, key: str, entries: list[dict[str, Any]] | None) -> None:
        policy = None if entries is None else context_object.policy(entries)
        self.policies.put(unsigned(key, 16), policy)

    def _apply_cgroup(self, key: str, change: dict[str, Any] | None) -> None:
        known = None if change is None else context_object.addresses(change["addresses"])
        self.cgroups.put(unsigned(key, 64), known)

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
            row = self.interface(ifindex, self.known_links.get(ifindex, ""))
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
