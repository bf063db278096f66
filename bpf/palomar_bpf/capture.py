"""Live capture: the facade that the server's agent drives.

In go `CaptureSettings`; out come batches of raw payloads with what was lost beside them, and the
facts their decoder needs (names of reasons, functions and links, the offset of the boot clock).
Nothing is pinned: when the process ends, however it ends, the kernel is as it was, except for
clsact filters on kernels without tcx, which the next `open()` removes.

Threads: one calls `read()`, `pause()` and `resume()`; the link watcher has its own; `wake()`,
`set_endpoint()`, `clear_endpoint()` and everything that only tells may be called from any.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from palomar_bpf.attachment import (
    DROP_TRACEPOINT,
    RawTracepoint,
    attach,
    remove_leftovers,
)
from palomar_bpf.batch import PayloadBatch
from palomar_bpf.boot_clock import boot_offset_ns
from palomar_bpf.btf import KernelBtf
from palomar_bpf.counters import CaptureStatistics, LossCounters, LossSchedule, kernel_counts
from palomar_bpf.errors import CaptureError
from palomar_bpf.filter_owner import FilterOwner
from palomar_bpf.hash_map import HashMap
from palomar_bpf.interfaces import ObservedInterfaces
from palomar_bpf.links import LinkWatcher, choose, default_route_devices
from palomar_bpf.loader import load_programs
from palomar_bpf.packet_capture import PacketCapture, make_packet_capture
from palomar_bpf.reader import PerfReader
from palomar_bpf.reasons import reason_names, reason_numbers
from palomar_bpf.settings import CaptureSettings
from palomar_bpf.symbols import KernelSymbols

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from palomar_bpf.links import Link, LinkChanges

__all__ = ["CaptureSettings", "CaptureStatistics", "LiveCapture"]

logger = logging.getLogger(__name__)

LOSS_CHECK_INTERVAL_S = 1.0
"""How often losses are looked for while there is traffic, and how long after it once more."""

_NAMESPACE_REF = struct.Struct("=HBx")
"""endpoint_id, watched: must match struct namespace_ref in programs/event.h."""
_ENDPOINT_ID_MAX = 0xFFFF
_IGNORED = b"\1"


@dataclass(frozen=True, slots=True)
class _Opened:
    """What exists between `open()` and `close()`."""

    reader: PerfReader
    counters: LossCounters
    schedule: LossSchedule
    observed: ObservedInterfaces
    packets: PacketCapture
    watcher: LinkWatcher
    namespaces: HashMap
    drops: RawTracepoint | None
    symbols: KernelSymbols | None


class LiveCapture:
    """What the kernel sees of packets on this node. A context manager that opens and closes.

    Args:
        settings: What to watch.
        on_links: Called with the observed links by index when they are others than before or have
            changed, and once while `open()` runs; on the link watcher's thread or the opener's. It
            must return soon and not call `close()`.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        *,
        on_links: Callable[[Mapping[int, Link]], None] | None = None,
    ) -> None:
        self.settings = settings
        self.reasons: Mapping[int, str] = MappingProxyType({})
        """The running kernel's number -> name of drop reasons; filled by `open()`."""
        self._on_links = on_links
        self._following = threading.Lock()
        self._resources = contextlib.ExitStack()
        self._opened: _Opened | None = None
        self._watched = False

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def open(self) -> None:
        """Load the programs and attach them; takes about a second.

        Interfaces that cannot be attached to are logged and counted, and none at all is fine.

        Raises:
            LoadError: the programs could not be loaded; the text tells the remedy.
            CaptureError: something else is missing, or capture is open already. After any error
                nothing is left in the kernel.
        """
        if self._opened is not None:
            raise CaptureError("live capture is open already")
        with contextlib.ExitStack() as resources:
            self._opened = self._open(resources)
            self._resources = resources.pop_all()
        # Somebody may have come or gone while it was opened.
        self._opened.reader.coalesce(self._coalesce_s())

    def read(self, timeout_s: float | None) -> PayloadBatch | None:
        """Wait for events and take all there are.

        Args:
            timeout_s: How long to wait, in seconds; None for as long as it takes.

        Returns:
            Payloads, losses or both; None if the time was up or `wake()` was called.

        Raises:
            CaptureError: capture is not open, or the kernel refused.
        """
        opened = self._get()
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            now_s = time.monotonic()
            left_s = None if deadline_s is None else max(0.0, deadline_s - now_s)
            waits_s = [
                wait_s for wait_s in (left_s, opened.schedule.wait_s(now_s)) if wait_s is not None
            ]
            batch = opened.reader.read(min(waits_s, default=None))
            now_s = time.monotonic()
            hint, opened.reader.loss_hint = opened.reader.loss_hint, False
            if opened.schedule.is_due(now_s, traffic=batch is not None, hint=hint):
                losses = opened.counters.losses()
                if losses:
                    payloads = batch or PayloadBatch.of((), received_ns=time.time_ns())
                    batch = dataclasses.replace(payloads, losses=losses)
            due = deadline_s is not None and now_s >= deadline_s
            if batch is not None or opened.reader.woken or due:
                return batch

    def wake(self) -> None:
        """Make the `read()` that is running, or else the next one, return without waiting."""
        opened = self._opened
        if opened is not None:
            opened.reader.wake()

    def attend(self, *, watched: bool) -> None:
        """Say whether somebody waits for events, so that a busy node's gather for less time.

        From any thread, and whether or not capture is open.
        """
        self._watched = watched
        opened = self._opened
        if opened is not None:
            opened.reader.coalesce(self._coalesce_s())

    def _coalesce_s(self) -> float:
        settings = self.settings
        return settings.coalesce_max_s if self._watched else settings.coalesce_unwatched_max_s

    def pause(self) -> None:
        """Detach everything, so that no packet costs anything; idempotent.

        The programs stay loaded, and links are followed as before. `read()` still gives what the
        programs emitted. Detaching is what makes it free: a program that finds no perf ring costs
        nearly as much as one that does, some 350 ns a packet.

        Raises:
            CaptureError: capture is not open.
        """
        opened = self._get()
        with self._following:
            if opened.drops is not None:
                opened.drops.detach()
            opened.observed.pause()

    def resume(self) -> None:
        """Attach again to everything that is to be observed now; idempotent.

        Takes as long as the kernel waits for its other CPUs: by tcx some 20 ms an interface, by
        clsact 2. Connections opened meanwhile have no known direction.

        Raises:
            CaptureError: capture is not open, or the kernel refused the tracepoint.
        """
        opened = self._get()
        with self._following:
            if opened.drops is not None:
                opened.drops.attach()
            fewer = opened.observed.resume()
            observed = MappingProxyType(opened.observed.observed)
            opened.packets.follow(observed)
            if fewer and self._on_links is not None:
                self._on_links(observed)

    def close(self) -> None:
        """Detach and unload everything; idempotent. No thread may be in `read()` any more."""
        self._opened = None
        self._resources.close()

    def set_endpoint(
        self,
        endpoint_id: int,
        *,
        ifindex: int | None = None,
        netns: int | None = None,
        watched: bool = True,
    ) -> None:
        """Tell the kernel side which endpoint is behind an interface, in a namespace, or both.

        Args:
            endpoint_id: 1 to 65,535; comes back as `source` of events.
            ifindex: The host's end of the endpoint's veth. Need not be observed, nor exist yet; it
                is forgotten when the link vanishes.
            netns: Inode of the endpoint's network namespace.
            watched: Whether drops in the namespace are wanted where `drops` is "watched".

        Raises:
            ValueError: `endpoint_id` is out of range.
            CaptureError: capture is not open, or the kernel refused, as when `interfaces_max` is
                too small.
        """
        if not 1 <= endpoint_id <= _ENDPOINT_ID_MAX:
            raise ValueError(f"endpoint_id is {endpoint_id}, must be 1 to {_ENDPOINT_ID_MAX}")
        opened = self._get()
        if ifindex is not None:
            opened.observed.set_endpoint_id(ifindex, endpoint_id)
        if netns is not None:
            opened.namespaces.update(netns, _NAMESPACE_REF.pack(endpoint_id, watched))

    def clear_endpoint(self, *, ifindex: int | None = None, netns: int | None = None) -> None:
        """Take back what `set_endpoint()` told of an interface, a namespace, or both.

        Raises:
            CaptureError: capture is not open, or the kernel refused.
        """
        opened = self._get()
        if ifindex is not None:
            opened.observed.set_endpoint_id(ifindex, 0)
        if netns is not None:
            opened.namespaces.delete(netns)

    @property
    def links(self) -> Mapping[int, Link]:
        """All links of this network namespace by index, observed or not; a snapshot."""
        return self._get().watcher.links

    @property
    def observed_links(self) -> Mapping[int, Link]:
        """The links that have the programs on them unless paused, by index; a snapshot."""
        return self._get().observed.observed

    @property
    def packets(self) -> PacketCapture:
        """The packets that recordings ask for; goes on while this is paused, and ends with it.

        Raises:
            CaptureError: capture is not open.
        """
        return self._get().packets

    def symbol(self, address: int) -> str:
        """Name of the kernel function at an address; '' where unknown or drops are off."""
        symbols = self._get().symbols
        return "" if symbols is None else symbols.name(address)

    def boot_offset_ns(self) -> int:
        """What to add to `time_ns` of events for wall time (UTC), as of now; see `boot_clock`."""
        return boot_offset_ns()

    def statistics(self) -> CaptureStatistics:
        """What happened so far.

        Raises:
            CaptureError: capture is not open, or the kernel refused.
        """
        opened = self._get()
        return CaptureStatistics(
            events=opened.counters.totals(),
            interfaces=opened.observed.methods,
            failures=opened.observed.failures,
            link_overruns=opened.watcher.overruns,
            link_failures=opened.watcher.failures,
        )

    def _get(self) -> _Opened:
        if self._opened is None:
            raise CaptureError("live capture is not open")
        return self._opened

    def _open(self, resources: contextlib.ExitStack) -> _Opened:
        """Make everything, each with its end on `resources`."""
        settings = self.settings
        with KernelBtf() as btf:
            self.reasons = MappingProxyType(reason_names(btf))
            host_netns = Path("/proc/thread-self/ns/net").stat().st_ino
            programs = load_programs(settings.program_options(host_netns), btf)
        resources.callback(programs.close)
        ignored = HashMap(programs.maps["ignored_reasons"])
        for number in reason_numbers(settings.ignored_drop_reasons, self.reasons):
            ignored.update(number, _IGNORED)
        reader = PerfReader(
            programs.maps["events"],
            pages_per_cpu=settings.pages_per_cpu,
            coalesce_max_s=self._coalesce_s(),
        )
        resources.callback(reader.close)
        owner = FilterOwner()
        resources.callback(owner.close)
        observed = ObservedInterfaces(
            HashMap(programs.maps["interfaces"]),
            lambda link: attach(programs, link, method=settings.attach_method, mark=owner.mark),
        )
        resources.callback(observed.close)
        packets = make_packet_capture(programs, settings, owner.mark)
        resources.callback(packets.close)
        watcher = self._watch_links(observed, packets, resources)
        symbols = drops = None
        if settings.drops != "off":
            symbols = KernelSymbols()
            drops = RawTracepoint(DROP_TRACEPOINT, programs.drop_fd)
            drops.attach()
            resources.callback(drops.detach)
        return _Opened(
            reader=reader,
            counters=LossCounters(kernel_counts(programs.maps["counters"])),
            schedule=LossSchedule(LOSS_CHECK_INTERVAL_S),
            observed=observed,
            packets=packets,
            watcher=watcher,
            namespaces=HashMap(programs.maps["namespaces"]),
            drops=drops,
            symbols=symbols,
        )

    def _watch_links(
        self,
        observed: ObservedInterfaces,
        packets: PacketCapture,
        resources: contextlib.ExitStack,
    ) -> LinkWatcher:
        """Attach to the links that are wanted now, and keep it so."""
        try:
            remove_leftovers([ifindex for ifindex, _ in socket.if_nameindex()])
        except OSError as error:
            logger.warning("filters of an earlier run may be left on interfaces: %s", error)
        watcher = LinkWatcher(lambda changes: self._follow(watcher, observed, packets, changes))
        resources.callback(watcher.close)
        try:
            watcher.start()
        except OSError as error:
            raise CaptureError(f"links cannot be listed by netlink: {error.strerror}") from error
        self._follow(watcher, observed, packets, None)
        return watcher

    def _follow(
        self,
        watcher: LinkWatcher,
        observed: ObservedInterfaces,
        packets: PacketCapture,
        changes: LinkChanges | None,
    ) -> None:
        """Bring the attachments in step with the links as they are now."""
        with self._following:
            links = watcher.links
            globs = self.settings.interfaces
            wanted = choose(links.values(), globs, () if globs else default_route_devices())
            if "clsact" in {self.settings.attach_method, *observed.methods.values()}:
                # One end of a new pair may be about to move into its namespace, and would take
                # filters along for good. That happens before it is up.
                wanted = {index for index in wanted if links[index].up}
            gone = () if changes is None else [link.ifindex for link in changes.removed]
            changed = observed.follow(links, wanted, gone)
            packets.follow(observed.observed, gone)
            if self._on_links is not None and (changed or changes is None):
                self._on_links(MappingProxyType(observed.observed))
