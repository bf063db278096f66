"""The bench corpus: 200,000 monitor events of 10,000 connections, and the pods they are between.

Hubble's figures were measured on the same events. The README beside them describes the files.
"""

from __future__ import annotations

import json
import lzma
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from palomar_bpf.batch import PayloadBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_server.surroundings import Context

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "conformance" / "bench-corpus"
START_NS = 1_700_000_000_000_000_000
"""Time of the first event, UTC: 2023-11-14T22:13:20Z."""
SPACING_NS = 100_000
"""Time from each event to the next."""

_TCP = 6
_PORTS = (53, 80, 443, 3306, 5432, 6379, 8080, 9090)
"""All that the corpus' connections go to."""


def read_payloads(folder: Path = FOLDER, count: int | None = None) -> list[bytes]:
    """The first events, or all.

    Args:
        folder: the corpus.
        count: how many; all if None.
    """
    payloads: list[bytes] = []
    with lzma.open(folder / "events.bin.xz") as events:
        while (count is None or len(payloads) < count) and (head := events.read(4)):
            (length,) = struct.unpack("<I", head)
            payloads.append(events.read(length))
    return payloads


def read_context(folder: Path = FOLDER) -> Context:
    """The pods, and a policy that lets every local one talk to all, however it is looked for."""
    state = json.loads((folder / "endpoints.json").read_text())
    pods = state["pods"]
    identities = sorted({pod["identity"] for pod in pods})
    return {
        "node_name": state["node_name"],
        "links": {str(pod["ifindex"]): pod["ifname"] for pod in pods if pod["ifindex"]},
        "endpoints": {pod["ip"]: _endpoint(pod) for pod in pods},
        "identities": {str(pod["identity"]): pod["labels"] for pod in pods},
        "policies": {
            str(pod["endpoint_id"]): _policy(pod, identities) for pod in pods if pod["local"]
        },
    }


def read_node_labels(folder: Path = FOLDER) -> tuple[str, ...]:
    """The labels of the node, as key=value."""
    labels = json.loads((folder / "endpoints.json").read_text())["node_labels"]
    return tuple(f"{key}={value}" for key, value in labels.items())


def _endpoint(pod: dict[str, Any]) -> dict[str, Any]:
    local = pod["local"]
    return {
        "at_ns": 0,
        "addresses": [pod["ip"]],
        "id": pod["endpoint_id"],
        "identity": pod["identity"],
        "namespace": pod["namespace"],
        "pod_name": pod["pod_name"],
        "labels": pod["labels"],
        # What is not local comes from the ipcache, which knows no workloads.
        "workloads": [[pod["workload_deployment"], "Deployment"]] if local else [],
    }


def _policy(pod: dict[str, Any], identities: list[int]) -> list[dict[str, Any]]:
    app = next(label for label in pod["labels"] if label.startswith("k8s:app=")).partition("=")[2]
    about = "k8s:io.cilium.k8s.policy"
    rule = [
        f"{about}.derived-from=CiliumNetworkPolicy",
        f"{about}.name=allow-{app}",
        f"{about}.namespace={pod['namespace']}",
        f"{about}.uid=3d3ac8cd-0000-4000-8000-00000000abcd",
    ]
    return [
        {
            "direction": direction,
            "identity": identity,
            "protocol": protocol,
            "port": port,
            "rules": [rule],
            "revision": 7,
            "log": [],
        }
        for direction in ("ingress", "egress")
        for identity in (0, *identities)
        for protocol, port in ((0, 0), *((_TCP, port) for port in _PORTS))
    ]


def batch_of(payloads: Sequence[bytes], received_ns: int = START_NS) -> PayloadBatch:
    """Payloads as the source would hand them over."""
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    return PayloadBatch(
        np.frombuffer(b"".join(payloads), np.uint8),
        np.cumsum(lengths) - lengths,
        lengths,
        np.zeros(len(payloads), np.uint16),
        received_ns,
    )


def batches_of(payloads: Sequence[bytes], size: int) -> list[PayloadBatch]:
    """All payloads in batches, each received when its last event had happened."""
    return [
        batch_of(payloads[at : at + size], START_NS + (at + size) * SPACING_NS)
        for at in range(0, len(payloads), size)
    ]
