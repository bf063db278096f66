"""The namespaces that flows were seen of lately: the answer to GetNamespaces.

They outlive the flows in the ring. A flow's namespaces are those of its two endpoint rows; each row
is translated into the number of its namespace once, so noting those of a batch is a look-up in one
array and a store into another.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.endpoints import EndpointTable
    from palomar_server.hooks import FlowBatch

TTL_NS = 3_600 * 1_000_000_000
"""How long a namespace is told after its last flow, as in Hubble."""
DEFAULT_NAMESPACES_MAX = 16_384
"""More than any cluster has; further ones are told only once others are past their time."""
_NONE = 0
"""The number of no namespace."""


class SeenNamespaces:
    """Notes the namespaces of flows: an `OnDecodedFlow` hook that stops nothing.

    Flows are noted on one thread, and the namespaces asked for on another.

    Args:
        endpoints: the table that rows of flows point into; it changes on the thread of the flows.
        namespaces_max: how many are kept in mind.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        endpoints: EndpointTable,
        *,
        namespaces_max: int = DEFAULT_NAMESPACES_MAX,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._endpoints = endpoints
        self._namespaces_max = namespaces_max
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {"": _NONE}
        self._seen_ns = np.zeros(64, np.uint64)
        """By namespace number; 0 is never."""
        self._of_row = np.zeros(64, np.int32)
        """Namespace number by endpoint row."""
        self._rows = 0
        """Endpoint rows that are translated."""
        self._generation = endpoints.generation

    def on_decoded_flow(self, batch: FlowBatch) -> None:
        """Note the namespaces of all flows of a batch."""
        now_ns = self._clock_ns()
        rows = batch.rows
        with self._lock:
            if len(self._numbers) >= self._namespaces_max:
                self._forget(now_ns)
            self._translate()
            for column in ("source_endpoint", "destination_endpoint"):
                self._seen_ns[self._of_row[rows[column]]] = now_ns
            for index in ((rows["message"] > 0) & (rows["kind"] == Kind.FLOW)).nonzero()[0]:
                flow = flow_pb2.Flow.FromString(batch.content(index))
                for namespace in (flow.source.namespace, flow.destination.namespace):
                    self._note(namespace, now_ns)

    def namespaces(self) -> list[str]:
        """Those seen within `TTL_NS`, sorted."""
        now_ns = self._clock_ns()
        with self._lock:
            names = list(self._numbers)[1:]
            seen_ns = self._seen_ns[1 : len(names) + 1].tolist()
        return sorted(
            name for name, at_ns in zip(names, seen_ns, strict=True) if at_ns > now_ns - TTL_NS
        )

    def _translate(self) -> None:
        """Give every endpoint row the number of its namespace."""
        endpoints = self._endpoints
        if self._generation != endpoints.generation:
            self._generation, self._rows = endpoints.generation, 0
        if self._rows == (count := len(endpoints)):
            return
        if len(self._of_row) < count:
            self._of_row = np.resize(self._of_row, 2 * count)
        fresh = endpoints.endpoints()[self._rows : count]
        self._of_row[self._rows : count] = [self._number(one.namespace) for one in fresh]
        self._rows = count

    def _number(self, namespace: str) -> int:
        number = self._numbers.get(namespace)
        if number is None:
            number = len(self._numbers)
            if number >= self._namespaces_max:
                return _NONE
            self._numbers[namespace] = number
            if number >= len(self._seen_ns):
                self._seen_ns = np.append(self._seen_ns, np.zeros_like(self._seen_ns))
        return number

    def _note(self, namespace: str, at_ns: int) -> None:
        # The number first: there may be another array then.
        number = self._number(namespace)
        self._seen_ns[number] = at_ns

    def _forget(self, now_ns: int) -> None:
        """Make room: number anew those that are still told."""
        old = self._numbers
        seen_ns = {
            name: int(self._seen_ns[number])
            for name, number in old.items()
            if name and self._seen_ns[number] > max(0, now_ns - TTL_NS)
        }
        self._numbers = {"": _NONE}
        self._seen_ns = np.zeros(64, np.uint64)
        self._rows = 0
        for name, at_ns in seen_ns.items():
            self._note(name, at_ns)
