"""The enrichment state that cases share, decode-context.json, as a palomar context object."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palomar_server.surroundings import Context


def context_of(state: dict[str, Any]) -> Context:
    """Translate the file's content; its layout is described in the corpus' README."""
    local = {address for endpoint in state["endpoints"] for address in endpoint["ips"]}
    return {
        "node_name": state["node_name"],
        "links": {str(link["ifindex"]): link["name"] for link in state["links"]},
        "endpoints": {
            **{f"ipcache:{one['cidr']}": _remote(one) for one in _not_of(local, state["ipcache"])},
            **{f"endpoint:{one['id']}": _local(one) for one in state["endpoints"]},
        },
        "identities": {str(one["id"]): one["labels"] for one in state["identities"]},
        "services": _services(state["services"]),
        "dns_names": _dns_names(state["dns_names"]),
        "policies": {str(one["id"]): _policy(one["policies"]) for one in state["endpoints"]},
        "cgroups": {
            str(one["cgroup_id"]): {"addresses": _first_of_families(one["ips"])}
            for one in state["cgroups"]
        },
    }


def _not_of(local: set[str], ipcache: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What of the ipcache is not a local endpoint's, which Hubble asks first."""
    addresses = {ipaddress.ip_address(address) for address in local}
    return [one for one in ipcache if _single_address(one["cidr"]) not in addresses]


def _single_address(cidr: str) -> object:
    network = ipaddress.ip_network(cidr)
    return network.network_address if network.num_addresses == 1 else None


def _remote(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "at_ns": 0,
        "addresses": [one["cidr"]],
        "identity": one["identity"],
        "namespace": one.get("namespace", ""),
        "pod_name": one.get("pod_name", ""),
    }


def _local(one: dict[str, Any]) -> dict[str, Any]:
    workload = one["workload"]
    return {
        "at_ns": 0,
        "addresses": one["ips"],
        "id": one["id"],
        "identity": one["identity"],
        "namespace": one["namespace"],
        "pod_name": one["pod_name"],
        "labels": one["labels"],
        "workloads": [[workload["name"], workload["kind"]]] if workload else [],
    }


def _services(services: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in services:
        ports = found.setdefault(one["ip"], {})
        ports[str(one["port"])] = {"name": one["name"], "namespace": one["namespace"]}
    return found


def _dns_names(names: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in names:
        found.setdefault(str(one["endpoint_id"]), {})[one["ip"]] = one["names"]
    return found


def _policy(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "direction": one["direction"],
            "identity": one["identity"],
            "protocol": one["proto"],
            "port": one["port"],
            "rules": one["rule_labels"],
            "revision": one["revision"],
            "log": one["log"],
        }
        for one in entries
    ]


def _first_of_families(addresses: list[str]) -> list[str]:
    """Hubble takes the first address of the family, and none if that one is not valid."""
    chosen: dict[bool, str] = {}
    for address in addresses:
        chosen.setdefault(":" in address, address)
    return [address for address in chosen.values() if _is_address(address)]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
