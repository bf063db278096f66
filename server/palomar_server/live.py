"""The live source: what the kernel sees on this node, and what is needed to understand it.

Batches come from `palomar_bpf.capture.LiveCapture`. Beside them this follows the named network
namespaces, the links and the clock, and puts what changed between the batches as context.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import structlog

from palomar_bpf.capture import LiveCapture
from palomar_bpf.errors import CaptureError
from palomar_server.namespaces import NamespaceWatcher
from palomar_server.rtnetlink import RouteQueries
from palomar_server.source import CLOCK_INTERVAL_S, END

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from palomar_bpf.batch import PayloadBatch
    from palomar_bpf.links import Link
    from palomar_bpf.settings import CaptureSettings
    from palomar_server.local_endpoints import LocalEndpoints
    from palomar_server.namespaces import NamespaceState
    from palomar_server.source import SourceItem
    from palomar_server.surroundings import Context

log = structlog.get_logger(__name__)


class LiveSource:
    """Captures on this node from `open` to `close`.

    Args:
        capture: what to capture.
        endpoints: names what is found.
        netns_directory: where named network namespaces are.
        node_name: recorded with the payloads.
    """

    def __init__(
        self,
        capture: CaptureSettings,
        endpoints: LocalEndpoints,
        *,
        netns_directory: Path,
        node_name: str,
    ) -> None:
        self.capture = LiveCapture(capture, on_links=self._on_links)
        self._endpoints = endpoints
        self._node_name = node_name
        self._watcher = NamespaceWatcher(netns_directory, self._on_namespace)
        self._queries: RouteQueries | None = None
        self._changing = threading.Lock()
        self._context: deque[Context] = deque()
        self._states: dict[str, NamespaceState] = {}
        self._observed: Mapping[int, Link] = {}
        self._links: dict[int, str] = {}
        self._clock_checked_s = 0.0
        self._held: PayloadBatch | None = None
        self._host: frozenset[str] = frozenset()
        self._open = False

    def open(self) -> None:
        """Load, attach and begin to follow the node; takes about a second.

        Raises:
            CaptureError: capture is not possible; the text tells what is missing.
            OSError: the node's namespaces or links cannot be followed.
        """
        # First of all the facts that every payload needs; more may come while this runs.
        self._context.append({"node_name": self._node_name})
        self._context.append(self._endpoints.initial())
        self.capture.open()
        try:
            self._open = True
            self._context.append(
                {"reasons": {str(number): name for number, name in self.capture.reasons.items()}}
            )
            self._measure_clock()
            with self._changing:
                self._queries = RouteQueries()
                self._tell_host()
            self._watcher.start()
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float | None = None) -> SourceItem | None:
        """The next context or batch; see `Source`."""
        if self._context:
            return self._context.popleft()
        if not self._open:
            return END
        if (batch := self._held) is not None:
            self._held = None
        else:
            batch = self.capture.read(timeout_s)
        if batch is not None and time.monotonic() - self._clock_checked_s > CLOCK_INTERVAL_S:
            # The clock may have been set while nothing happened: first what it is now.
            self._measure_clock()
            with self._changing:
                self._tell_host()
            self._held = batch
            return self._context.popleft()
        return batch

    def wake(self) -> None:
        """Make `read` return."""
        self.capture.wake()

    def attend(self, *, watched: bool) -> None:
        """See `source.Attentive`."""
        self.capture.attend(watched=watched)

    def pause(self) -> None:
        """Detach from the kernel, and go on following the node; see `Pausable`."""
        self.capture.pause()

    def resume(self) -> None:
        """Attach again."""
        self.capture.resume()

    def close(self) -> None:
        """Detach from the kernel and stop following."""
        self._open = False
        self._watcher.close()
        if self._queries is not None:
            self._queries.close()
            self._queries = None
        self.capture.close()
        # Nobody wants to know any more; see `Source.close`.
        self._context.clear()

    def symbol(self, address: int) -> str:
        """The kernel function at an address, '' if unknown."""
        return self.capture.symbol(address)

    def _say(self, context: Context) -> None:
        self._context.append(context)
        self.capture.wake()

    def _measure_clock(self) -> None:
        self._clock_checked_s = time.monotonic()
        self._context.append({"boot_offset_ns": self.capture.boot_offset_ns()})

    def _tell_host(self) -> None:
        """Tell this node's own addresses, if they are others than last told."""
        if self._queries is None:
            return
        try:
            addresses = self._queries.addresses(None)
        except OSError as error:
            log.warning("this node's addresses could not be listed", error=str(error))
            return
        host = frozenset(str(one) for one in addresses if not one.is_loopback)
        if host != self._host:
            self._host = host
            self._say(self._endpoints.host(host))

    def _on_links(self, observed: Mapping[int, Link]) -> None:
        """The observed links changed; runs on the link watcher's thread, or within `open`."""
        with self._changing:
            names = {index: link.name for index, link in observed.items()}
            changed: dict[str, str | None] = {
                str(index): name for index, name in names.items() if self._links.get(index) != name
            }
            changed.update({str(index): None for index in self._links.keys() - names.keys()})
            self._links = names
            self._observed = observed
            self._context.append({"links": changed})
            if self._open:
                self._tell_host()
                for state in self._states.values():
                    self._mark(state)

    def _on_namespace(self, before: NamespaceState | None, after: NamespaceState | None) -> None:
        """A namespace came, changed or went; runs on the namespace watcher's thread."""
        with self._changing:
            if before is not None:
                self._unmark(before, after)
                if after is None or after.inode != before.inode:
                    del self._states[before.name]
                    self._say(self._endpoints.went(before))
            if after is not None:
                self._states[after.name] = after
                self._mark(after)
                self._say(self._endpoints.came(after))

    def _mark(self, state: NamespaceState) -> None:
        """Tell the kernel side which endpoint is behind the namespace's links and inside it."""
        endpoint_id = self._endpoints.endpoint_id(state)
        if not endpoint_id:
            log.warning("no endpoint id is free", namespace=state.name)
            return
        try:
            watched = any(index in self._observed for index in state.host_ifindexes)
            self.capture.set_endpoint(endpoint_id, netns=state.inode, watched=watched)
            for index in state.host_ifindexes:
                self.capture.set_endpoint(endpoint_id, ifindex=index)
        except CaptureError as error:
            log.warning("endpoint not marked", namespace=state.name, error=str(error))

    def _unmark(self, before: NamespaceState, after: NamespaceState | None) -> None:
        kept = after.host_ifindexes if after is not None else ()
        try:
            for index in set(before.host_ifindexes) - set(kept):
                self.capture.clear_endpoint(ifindex=index)
            if after is None or after.inode != before.inode:
                self.capture.clear_endpoint(netns=before.inode)
        except CaptureError as error:
            log.warning("endpoint not unmarked", namespace=before.name, error=str(error))
