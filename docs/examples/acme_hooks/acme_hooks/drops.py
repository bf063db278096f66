"""Counts dropped packets by pod, as a metric of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import Counter

from palomar_proto.flow import flow_pb2

if TYPE_CHECKING:
    from palomar_server.hooks import FlowBatch, Server


class DropsByPod:
    """Hook: `acme_pod_drops_total{namespace, pod, role}`, and every flow goes on.

    Args:
        pods_max: pods with a series of their own; what further ones lose is counted together, so
            that a node where pods come and go does not fill Prometheus.
    """

    def __init__(self, pods_max: int = 1_000) -> None:
        self._pods_max = pods_max
        self._pods: set[tuple[str, str]] = set()
        # Without a registry of its own: palomard's shows it.
        self._drops = Counter(
            "acme_pod_drops",
            "Packets dropped on their way from a pod (source) or to it (destination).",
            ["namespace", "pod", "role"],
            registry=None,
        )
        self._server: Server | None = None

    def on_server_init(self, server: Server) -> None:
        """Show the metric, and keep the server, which knows the names of pods."""
        self._server = server
        server.register_collector(self._drops)

    def on_decoded_flow(self, batch: FlowBatch) -> None:
        """Count by columns: most batches have no drops and end at the first line."""
        dropped = np.flatnonzero(batch.rows["verdict"] == flow_pb2.DROPPED)
        if not dropped.size:
            return
        packets = batch.rows["packets"][dropped]
        for role in ("source", "destination"):
            # A column holds numbers of endpoints, not names: one look-up for each that occurs.
            endpoints, which = np.unique(
                batch.rows[f"{role}_endpoint"][dropped], return_inverse=True
            )
            drops = np.bincount(which, weights=packets)
            for endpoint, count in zip(endpoints.tolist(), drops.tolist(), strict=True):
                self._count(endpoint, role, count)

    def _count(self, endpoint: int, role: str, packets: float) -> None:
        assert self._server is not None, "OnServerInit comes before any flow"  # noqa: S101
        found = self._server.endpoint(endpoint)
        if not found.pod_name:
            return
        pod = (found.namespace, found.pod_name)
        if pod not in self._pods and len(self._pods) >= self._pods_max:
            pod = ("", "others")
        else:
            self._pods.add(pod)
        self._drops.labels(*pod, role).inc(packets)
