"""The endpoints this node knows of: inventory and named network namespaces, merged.

In go the inventory and the namespaces as they come and go; out come context changes
(`surroundings`) and the ids by which the kernel side marks events of a local endpoint. A namespace
that has an address of an inventory pod is that pod, with the inventory's names; any other is a pod
by its own name.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from palomar_server.endpoints import IDENTITY_HOST
from palomar_server.names import ANY_ENDPOINT, ANY_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from palomar_server.inventory import Inventory, InventoryPod
    from palomar_server.namespaces import NamespaceState
    from palomar_server.surroundings import Context

_IDENTITY_FIRST = 256
"""Cilium reserves the identities below for what is not a pod."""
_ENDPOINT_IDS = 65_535
_LOOPBACK = ("127.0.0.0/8", "::1")


class LocalEndpoints:
    """Turns what is known of this node into context changes. For one thread at a time.

    Args:
        inventory: what the operator wrote down, if anything.
        cluster_name: of local endpoints.
        namespace: Kubernetes namespace shown for network namespaces the inventory does not name.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        inventory: Inventory | None,
        *,
        cluster_name: str,
        namespace: str,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._inventory = inventory
        self._cluster_name = cluster_name
        self._namespace = namespace
        self._clock_ns = clock_ns
        self._pods: dict[str, InventoryPod] = {
            ip: pod for pod in (inventory.pods if inventory else ()) for ip in pod.ips
        }
        self._identities: dict[tuple[str, ...], int] = {}
        self._free_identities = itertools.count(_IDENTITY_FIRST)
        self._ids: dict[str, int] = {}
        self._told: dict[str, InventoryPod | None] = {}
        """By namespace name the pod it was told to be; None: one by its own name."""

    def initial(self) -> Context:
        """Everything in the inventory."""
        if self._inventory is None:
            return {"endpoints": {}}
        changes = {_pod_key(pod): self._pod(pod, pod.ips, 0) for pod in self._inventory.pods}
        for cidr in self._inventory.cidrs:
            named = (f"palomar:name={cidr.name}",) if cidr.name else ()
            labels = (*cidr.labels, *named)
            changes[f"cidr:{cidr.cidr}"] = {
                "at_ns": 0,
                "addresses": [cidr.cidr],
                "labels": list(labels),
                "identity": self._identity(cidr.identity, labels),
            }
        return {"endpoints": changes, **_names(self._inventory)}

    def host(self, addresses: Iterable[str]) -> Context:
        """This node itself, by its own addresses."""
        endpoint = {
            "at_ns": self._clock_ns(),
            "addresses": sorted({*addresses, *_LOOPBACK}),
            "identity": IDENTITY_HOST,
            "labels": ["reserved:host"],
        }
        return {"endpoints": {"host": endpoint}}

    def endpoint_id(self, state: NamespaceState) -> int:
        """The id of a namespace's endpoint; a name keeps its id. 0 when all ids are taken."""
        known = self._ids.get(state.name)
        if known is None:
            taken = set(self._ids.values())
            known = next((n for n in range(1, _ENDPOINT_IDS + 1) if n not in taken), 0)
            if known:
                self._ids[state.name] = known
        return known

    def came(self, state: NamespaceState) -> Context:
        """A namespace came or changed."""
        endpoint_id = self.endpoint_id(state)
        pod = next((self._pods[ip] for ip in state.addresses if ip in self._pods), None)
        # Its addresses may come after it, and with them the pod that it is.
        moved = state.name in self._told and self._told[state.name] is not pod
        changes = self._retract(state) if moved else {}
        self._told[state.name] = pod
        if pod is not None:
            addresses = sorted({*pod.ips, *state.addresses})
            return {"endpoints": {**changes, _pod_key(pod): self._pod(pod, addresses, endpoint_id)}}
        labels = self._labels(state)
        endpoint = {
            "at_ns": self._clock_ns(),
            "addresses": list(state.addresses),
            "id": endpoint_id,
            "identity": self._identity(None, labels),
            "namespace": self._namespace,
            "pod_name": state.name,
            "cluster_name": self._cluster_name,
            "labels": list(labels),
        }
        return {"endpoints": {**changes, _netns_key(state): endpoint}}

    def went(self, state: NamespaceState) -> Context:
        """A namespace went. Its id is free for another one."""
        self._ids.pop(state.name, None)
        self._identities.pop(self._labels(state), None)
        return {"endpoints": self._retract(state)}

    def _retract(self, state: NamespaceState) -> dict[str, Any]:
        """Take back what was told of a namespace."""
        pod = self._told.pop(state.name, None)
        if pod is not None:
            # The inventory still says that it exists, somewhere.
            return {_pod_key(pod): self._pod(pod, pod.ips, 0)}
        return {_netns_key(state): {"removed_ns": self._clock_ns()}}

    def _labels(self, state: NamespaceState) -> tuple[str, ...]:
        return (
            f"k8s:io.kubernetes.pod.namespace={self._namespace}",
            f"palomar:netns={state.name}",
        )

    def _pod(self, pod: InventoryPod, addresses: Iterable[str], endpoint_id: int) -> dict[str, Any]:
        return {
            "at_ns": self._clock_ns(),
            "addresses": list(addresses),
            "id": endpoint_id,
            "identity": self._identity(pod.identity, pod.labels),
            "namespace": pod.namespace,
            "pod_name": pod.name,
            "cluster_name": self._cluster_name,
            "labels": list(pod.labels),
            "workloads": [[workload.name, workload.kind] for workload in pod.workloads],
        }

    def _identity(self, given: int | None, labels: tuple[str, ...]) -> int:
        """The identity given, or one for the set of labels: equal labels, equal identity."""
        if given is not None:
            return given
        known = self._identities.get(labels)
        if known is None:
            known = self._identities[labels] = next(self._free_identities)
        return known


def _pod_key(pod: InventoryPod) -> str:
    return f"pod:{pod.namespace}/{pod.name}"


def _netns_key(state: NamespaceState) -> str:
    return f"netns:{state.name}"


def _names(inventory: Inventory) -> Context:
    """Services, and DNS names that hold for everybody."""
    services: dict[str, dict[str, Any]] = {}
    for service in inventory.services:
        told = {"name": service.name, "namespace": service.namespace}
        for ip in service.ips:
            ports = services.setdefault(ip, {})
            ports.update({str(port): told for port in service.ports or (ANY_PORT,)})
    dns_names = {ip: list(names) for ip, names in inventory.names.items()}
    return {"services": services, "dns_names": {str(ANY_ENDPOINT): dns_names}}
