"""Who gets which recorded packet: rules for the kernel, a thread that reads, and how it decides.

The kernel's rules are a necessary condition, which follows what is known of pods and links; what
comes up is decided exactly (`packet_router`). While nobody records there is no thread, and nothing
in the kernel.

A rule keeps its number for as long as the same subscription wants it for the same purpose; what
changes is another rule with another number, for packets that matched the one before may still be
unread. A number is used again once the ring has been read to its end since.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import structlog

from palomar_bpf.capture_rule import RULE_WORDS
from palomar_bpf.errors import CaptureError
from palomar_recorder.counts import PacketCount
from palomar_recorder.ending import Ending
from palomar_server.recording.active_rules import ActiveRules, wanted_rules
from palomar_server.recording.flight_recorder import FlightRecorder
from palomar_server.recording.packet_route import PacketRoute, Role
from palomar_server.recording.packet_router import PacketRouter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from palomar_server.decode.options import DecodeOptions
    from palomar_server.encode import FlowEncoder
    from palomar_server.recording.packet_source import PacketSource
    from palomar_server.recording.subscription import Subscription
    from palomar_server.surroundings import Surroundings

log = structlog.get_logger(__name__)

_LOSSES_S = 0.25
"""How often losses are looked up while packets come."""
_OLD_S = 0.02
"""How often a quiet ring is looked at while numbers wait to be used again."""
_REST = 8
"""After making rules anew, how many times as long as that took nothing is made anew."""
_REST_MIN_S = 0.01
_REST_MAX_S = 1.0
"""Attaching to a hundred interfaces takes seconds, and the next pod may come right behind."""
_READS_MAX = 16
"""Readings of a ring that never gets empty, after which all has been read that was in it before."""


class Dispatcher:
    """Takes packets for subscriptions. `add` and `remove` wait, and are for any thread but its own.

    Args:
        source: of packets, open for as long as there are subscriptions.
        surroundings: gives meaning to what payloads refer to.
        encoder: builds protobuf flows for filters that ask for them.
        apart: keeps the agent from changing the surroundings for as long as it is entered;
            `Agent.apart`.
        options: what users chose of decoding.
        flight_recorder_bytes: memory for the heads of all packets, from `start` on; 0 for none.
        flight_snaplen_bytes: how much of each packet that keeps.
    """

    def __init__(
        self,
        source: PacketSource,
        surroundings: Surroundings,
        encoder: FlowEncoder,
        *,
        apart: Callable[[], AbstractContextManager[object]],
        options: DecodeOptions | None = None,
        flight_recorder_bytes: int = 0,
        flight_snaplen_bytes: int = 256,
    ) -> None:
        self._source = source
        self._surroundings = surroundings
        self._apart = apart
        self._router = PacketRouter(surroundings, encoder, apart, options)
        self._flight_bytes = flight_recorder_bytes
        self._flight_snaplen_bytes = flight_snaplen_bytes
        self._flight: FlightRecorder | None = None
        self._flight_counted = (0, 0)
        self.flight_lost = PacketCount()
        """What the flight recorder lacks because the ring was full."""
        self._changing = threading.Lock()
        """Held while routes or rules change; the thread never waits for it."""
        self._routes: tuple[PacketRoute, ...] = ()
        self._rules = ActiveRules(source)
        self._counting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._requests: deque[Callable[[], None]] = deque()
        self._passed = threading.Condition()
        """Notified when `_reading` grows."""
        self._reading = 0
        self._reads = 0
        self._hurry = False
        self._is_stale = False
        self._next_refresh_s = 0.0
        self._next_losses_s = math.inf

    @property
    def passed_over(self) -> int:
        """Payloads that were no packets of palomar's own programs."""
        return self._router.passed_over

    def start(self) -> None:
        """Begin with the flight recorder, if there is to be one.

        Raises:
            CaptureError: the kernel refuses.
        """
        with self._changing:
            if not self._flight_bytes or self._flight is not None:
                return
            self._rules.take_everything(self._flight_snaplen_bytes, self._reading)
            self._flight = FlightRecorder(self._flight_bytes, self._flight_snaplen_bytes)
            try:
                self._apply()
                self._begin_reading()
            except CaptureError:
                self._flight = None
                self._rules.drop_everything(self._reading)
                raise

    def add(self, subscription: Subscription) -> None:
        """Give packets to a subscription; returns once the kernel takes them.

        Raises:
            CaptureError: it does not, or there is no room for so many rules.
        """
        with self._changing:
            if not self._is_running:
                # Nobody reads, so nothing is still to be read.
                self._reading += 2
            route = self._router.route(subscription)
            with self._apart():
                wanted = wanted_rules(route, self._surroundings.links)
            self._rules.want(route, wanted, self._reading)
            before, routes = self._routes, (*self._routes, route)
            if self._flight is None:
                self._routes = routes
            try:
                self._apply(routes)
                self._begin_reading()
                self._begin_past(route)
            except BaseException:  # there may be no more threads to have, too
                self._routes = before
                self._requests.clear()
                self._rules.want(route, {}, self._reading)
                self._apply_or_log()
                self._stop_if_idle()
                raise

    def remove(self, subscription: Subscription) -> None:
        """Take no more for a subscription; returns once its sink was offered all that was taken.

        One that is not there is no error.
        """
        with self._changing:
            route = next((one for one in self._routes if one.subscription is subscription), None)
            if route is None:
                return
            self._count_losses()
            self._rules.want(route, {}, self._reading)
            self._apply_or_log()
            self._await_reading()
            self._count_losses()
            self._routes = tuple(one for one in self._routes if one is not route)
            self._stop_if_idle()

    def context_changed(self) -> None:
        """Make rules anew soon, as endpoints or links are others. At once, from any thread."""
        self._router.forget()
        self._is_stale = True
        if self._thread is not None:
            self._source.wake()

    def close(self) -> None:
        """Take no packets for anybody any more. Sinks are their owners' to close."""
        for route in self._routes:
            self.remove(route.subscription)
        with self._changing:
            if self._flight is not None:
                # As long as it is known whose loss it is.
                self._count_losses()
                self._flight = None
                self._rules.drop_everything(self._reading)
                self._apply_or_log()
            self._stop()

    # All of these hold `_changing`.

    def _apply(self, routes: tuple[PacketRoute, ...] | None = None) -> None:
        # What old rules lost has to be told before they are forgotten.
        self._count_losses()
        routes = self._routes if routes is None else routes
        self._rules.apply(routes)
        with self._counting:
            for route in routes:
                route.new -= {*route.rules.values()}  # of which others are not in the kernel

    def _begin_reading(self) -> None:
        if not self._is_running:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="palomar-packets", daemon=True)
            self._thread.start()

    def _apply_or_log(self) -> None:
        try:
            self._apply()
        except CaptureError as error:
            log.warning("rules for packets could not be changed", error=str(error))

    def _begin_past(self, route: PacketRoute) -> None:
        flight, number = self._flight, self._rules.everything
        if flight is None or number is None:
            return

        def begin() -> None:
            subscription = route.subscription
            if subscription.before_ns:
                most = max(1, subscription.before_max_bytes // flight.cell_bytes)
                since_ns = time.time_ns() - subscription.before_ns
                offset_ns = self._surroundings.boot_offset_ns
                self._router.deliver_past(flight.since(since_ns, most, offset_ns), route)
                # Unread packets from before the rules were set have only its number.
                route.old = {**route.old, number: (Role.FLOW, self._reading + 2)}
                route.update(RULE_WORDS, self._reading)
            self._routes = (*self._routes, route)
            done.set()

        done = threading.Event()
        self._requests.append(begin)
        self._source.wake()
        while not done.wait(_LOSSES_S):
            if not self._is_running:
                raise CaptureError("reading packets has failed; see the log")

    @property
    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _stop_if_idle(self) -> None:
        if not self._routes and self._flight is None:
            self._stop()

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread.ident is not None:
            self._stopping = True
            self._source.wake()
            thread.join()

    def _await_reading(self) -> None:
        """Wait until all has been read that was taken up to now."""
        thread = self._thread
        if thread is None:
            return
        with self._passed:
            until = self._reading + 2
            self._hurry = True
            self._source.wake()
            while self._reading < until and thread.is_alive():
                self._passed.wait(_LOSSES_S)
            self._hurry = False

    # The thread.

    def _run(self) -> None:
        try:
            while not self._stopping:
                while self._requests:
                    self._requests.popleft()()
                self._read()
                if self._is_stale and time.monotonic() >= self._next_refresh_s:
                    self._refresh()
                if time.monotonic() >= self._next_losses_s:
                    self._count_losses()
                if any(route.has_expired(self._reading) for route in self._routes):
                    self._forget_old()
        except CaptureError as error:
            log.error("reading packets has failed", error=str(error))  # noqa: TRY400 - it says all
            self._failed(error)
        except Exception as error:  # the thread's border: no recording goes on without it
            log.exception("reading packets has failed")
            self._failed(error)

    def _read(self) -> None:
        batch = self._source.read(self._timeout_s())
        if batch is not None:
            heads = self._router.read(batch)
            if self._flight is not None:
                self._flight.add(heads)
            self._router.deliver(heads, self._routes)
            if any(route.has_spent_trigger for route in self._routes):
                self._is_stale = True  # but never False: others may have made it True meanwhile
            self._reads += 1
            if self._next_losses_s == math.inf:
                self._next_losses_s = time.monotonic() + _LOSSES_S
        if batch is None or self._reads >= _READS_MAX:
            self._reads = 0
            with self._passed:
                self._reading += 1
                self._passed.notify_all()

    def _timeout_s(self) -> float | None:
        if self._hurry or self._requests or self._stopping:
            return 0.0
        now_s = time.monotonic()
        waits = []
        if self._is_stale:
            waits.append(max(_REST_MIN_S, self._next_refresh_s - now_s))
        if (next_losses_s := self._next_losses_s) != math.inf:
            waits.append(max(0.0, next_losses_s - now_s))
        if any(route.old for route in self._routes):
            waits.append(_OLD_S)
        return min(waits, default=None)

    def _refresh(self) -> None:
        """Make the rules of all routes anew; later if somebody else changes some right now."""
        if not self._changing.acquire(blocking=False):
            return
        try:
            started_s = time.monotonic()
            self._is_stale = False
            changed = [route for route in self._routes if route.varies and self._want_anew(route)]
            if changed:
                self._apply_anew(changed)
            rest_s = min(_REST_MAX_S, _REST * (time.monotonic() - started_s))
            self._next_refresh_s = time.monotonic() + max(_REST_MIN_S, rest_s)
        finally:
            self._changing.release()

    def _apply_anew(self, changed: Sequence[PacketRoute]) -> None:
        """Apply the rules of routes that want others; whatever the kernel says, none gets less."""
        try:
            self._apply()
        except CaptureError as error:
            log.warning("some recordings have to choose from all packets", why=str(error))
        else:
            return
        try:
            for route in changed:
                self._rules.want_all(route, self._reading)
            self._apply()
        except CaptureError as error:
            # The kernel goes on with numbers that are nobody's soon.
            for route in changed:
                message = f"the kernel refuses the rules that are needed now: {error}"
                route.subscription.sink.close(Ending.ERROR, message)

    def _want_anew(self, route: PacketRoute) -> bool:
        with self._apart():
            wanted = wanted_rules(route, self._surroundings.links)
        try:
            return self._rules.want_at_least(route, wanted, self._reading)
        except CaptureError:
            # Numbers become free when the ring has been read.
            self._is_stale = True
            return False

    def _forget_old(self) -> None:
        """Forget rules of which no more packets come; later if somebody changes some right now."""
        if self._changing.acquire(blocking=False):
            try:
                self._count_losses()
                for route in self._routes:
                    route.update(RULE_WORDS, self._reading)
            finally:
                self._changing.release()

    def _count_losses(self) -> None:
        """Tell each sink what its rules lost since the last time. From any thread."""
        self._next_losses_s = math.inf
        with self._counting:
            try:
                lost = self._source.lost()
            except CaptureError as error:
                log.warning("losses of packets could not be counted", error=str(error))
                return
            everything = self._rules.everything
            for route in self._routes:
                route.tell_lost(lost, everything)
            if everything is not None:
                now = lost.get(everything, (0, 0))
                before, self._flight_counted = self._flight_counted, now
                self.flight_lost.add(max(0, now[0] - before[0]), max(0, now[1] - before[1]))

    def _failed(self, error: Exception) -> None:
        for route in self._routes:
            route.subscription.sink.close(Ending.ERROR, f"packets cannot be read: {error}")
        with self._passed:
            self._passed.notify_all()
