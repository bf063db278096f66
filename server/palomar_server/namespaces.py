"""Which named network namespaces there are, with what addresses and behind which of our links.

In: a directory of names (`namespace_directory`) and the kernel's notices (`rtnetlink`). Out: one
call per namespace that came, changed or went. The daemon's agent makes endpoints of them; the
addresses are what the namespace gave itself, so whoever needs certainty about a sender goes by the
link (`host_ifindexes`), which the kernel vouches for.

Everything is event-driven: a quiet node costs nothing. On a busy one a look is followed by a rest
nine times as long, so the watcher never takes more than about a tenth of a CPU.
"""

from __future__ import annotations

import os
import select
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from palomar_server.namespace_directory import DirectoryWatch, network_namespaces
from palomar_server.rtnetlink import Changes, RouteNotices, RouteQueries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeAlias

    from palomar_server.rtnetlink import IPAddress

_SETTLE_S = 0.02
"""Pause between the first notice and the look: making one veth pair sends about ten."""
_REST_SHARE = 9
"""Rest after a look, as a multiple of the CPU time that the look took."""
_REST_MAX_S = 1.0
"""However much that was: a pod must not stay nameless for long."""
_PAUSE_S = 1.0
"""After something that was not foreseen, before all namespaces are looked at afresh."""
_VERIFY_S = 3.0
"""After a change of the names, when everything is looked at once more."""
_RETRY_S = 5.0
"""Until a namespace that could not be asked is asked again."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """A named network namespace at one moment."""

    name: str
    """Its file name in the watched directory."""
    inode: int
    """Its nsfs inode: `netns` of kernel events. Never that of another namespace that lives."""
    addresses: tuple[str, ...]
    """Its IPv4 and IPv6 addresses, without loopback and duplicates; link-local ones last."""
    host_ifindexes: tuple[int, ...]
    """Ascending ifindexes, in the daemon's namespace, of veth and netkit ends that lead into it."""


if TYPE_CHECKING:
    OnChange: TypeAlias = Callable[[NamespaceState | None, NamespaceState | None], None]


@dataclass(slots=True)
class _Known:
    """What the next look need not ask again."""

    state: NamespaceState
    nsid: int


class NamespaceWatcher:
    """Follows the network namespaces in a directory, on a thread of its own.

    Needs CAP_NET_BROADCAST to hear of changes and CAP_NET_ADMIN to ask, no CAP_SYS_ADMIN.
    """

    def __init__(
        self,
        directory: Path,
        on_change: OnChange,
        *,
        namespaces_max: int = 65_535,
        addresses_max: int = 256,
    ) -> None:
        """Prepare; nothing happens before `start`.

        Args:
            directory: Where the names are, usually /run/netns; need not exist yet.
            on_change: Called as `on_change(before, after)` on the watcher's thread, one call at a
                time: `(None, state)` came, `(state, state)` changed, `(state, None)` went. A name
                given to a new namespace goes first and comes then. What it raises is logged.
            namespaces_max: How many are followed; others are ignored, and counted in `ignored`.
            addresses_max: How many addresses of one namespace are told.
        """
        self.ignored = 0
        """Namespaces beyond `namespaces_max` at the last look."""
        self.failures = 0
        """How often following failed in a way that was not foreseen; logged each time."""
        self._directory = directory
        self._on_change = on_change
        self._namespaces_max = namespaces_max
        self._addresses_max = addresses_max
        self._known: dict[str, _Known] = {}
        self._pair_ends: dict[int, tuple[int, ...]] = {}
        self._unanswered: set[str] = set()
        self._pending = Changes(overrun=True)
        self._names_pending = True
        self._verify_s: float | None = None
        """When to look at everything once more, by the monotonic clock."""
        self._verify_again = False
        """Whether names changed since that was set."""
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start following; returns when the namespaces there are now have been told.

        Raises:
            PermissionError: A capability named above is missing.
            OSError: The kernel lacks an interface (Linux before 4.20), or no descriptor is left.
        """
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        opened: list[DirectoryWatch | RouteNotices | RouteQueries | select.epoll] = []
        try:
            self._poller = select.epoll()
            opened.append(self._poller)
            self._watch = DirectoryWatch(self._directory)
            opened.append(self._watch)
            self._notices = RouteNotices()
            opened.append(self._notices)
            for fd, events in self._watch.polled().items():
                self._poller.register(fd, events)
            self._poller.register(self._notices.fileno(), select.EPOLLIN)
            self._poller.register(self._wake, select.EPOLLIN)
            self._queries = RouteQueries()
        except OSError:
            for each in opened:
                each.close()
            os.close(self._wake)
            raise
        first_look = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(first_look,), name="namespaces", daemon=True
        )
        self._thread.start()
        first_look.wait()

    def states(self) -> tuple[NamespaceState, ...]:
        """The namespaces as of the last look, from any thread."""
        return tuple(known.state for known in self._known.values())

    def close(self) -> None:
        """Stop: no call to `on_change` after this returns. Not from within `on_change`."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._closing = True
        os.eventfd_write(self._wake, 1)
        thread.join()
        self._queries.close()
        self._notices.close()
        self._watch.close()
        self._poller.close()
        os.close(self._wake)

    def _run(self, first_look: threading.Event) -> None:
        while not self._closing:
            try:
                self._follow(first_look)
            except Exception:  # noqa: BLE001 -- the thread's border: nobody would notice its end
                self.failures += 1
                _log.exception("network namespaces could not be followed; looking afresh")
                self._pending = Changes(overrun=True)
                self._names_pending = True
                first_look.set()  # What could be told has been.
                self._rest(_PAUSE_S)

    def _follow(self, first_look: threading.Event) -> None:
        while not self._closing:
            started_cpu_s = time.thread_time()
            retry = self._look_safely()
            first_look.set()
            # Work counts, not waiting: the kernel may be busy with other namespaces for seconds.
            rested_s = time.monotonic() + _REST_SHARE * (time.thread_time() - started_cpu_s)
            woken = self._poller.poll(self._wait_s(retry=retry))
            # Notices wait in the kernel meanwhile; what it has no room for shows as an overrun.
            self._rest(max(_SETTLE_S, min(_REST_MAX_S, rested_s - time.monotonic())))
            for fd, _ in woken + self._poller.poll(0):
                self._note(fd)

    def _wait_s(self, *, retry: bool) -> float | None:
        """How long nothing need be done unless something is told, s; None for ever."""
        waits_s = [_RETRY_S] if retry else []
        if self._verify_s is not None:
            waits_s.append(max(0.0, self._verify_s - time.monotonic()))
        return min(waits_s, default=None)

    def _rest(self, duration_s: float) -> None:
        """Sleep, but not through `close`."""
        alarm = select.poll()
        alarm.register(self._wake, select.POLLIN)
        alarm.poll(duration_s * 1e3)

    def _note(self, fd: int) -> None:
        if fd == self._notices.fileno():
            self._pending.add(self._notices.drain())
        elif fd != self._wake:
            self._watch.drain()
            self._names_pending = True

    def _look_safely(self) -> bool:
        """Look and tell; True if something could not be read and should be tried again."""
        pending, self._pending = self._pending, Changes()
        names, self._names_pending = self._names_pending, False
        now_s = time.monotonic()
        if self._verify_s is not None and now_s >= self._verify_s:
            # While a namespace is made, a notice may come too early to be understood.
            pending.add(Changes(overrun=True))
            self._verify_s = now_s + _VERIFY_S if self._verify_again or names else None
            self._verify_again = False
        elif names and self._verify_s is None:
            self._verify_s = now_s + _VERIFY_S
        elif names:
            self._verify_again = True
        try:
            self._look(pending, names=bool(names or pending.overrun or self._unanswered))
        except OSError as error:
            # Out of descriptors, or the kernel took too long: what was known stays.
            _log.warning("network namespaces could not be read", error=str(error))
            self._pending = Changes(overrun=True)
            return True
        return bool(self._unanswered)

    def _look(self, pending: Changes, *, names: bool) -> None:
        before = self._known
        if pending.links or pending.overrun:
            self._pair_ends = self._queries.pair_ends()
        ended = self._ended(pending)
        # A number that ended may stand for another namespace by now, even one with the old inode.
        trusted = {name: known for name, known in before.items() if known.nsid not in ended}
        unanswered: dict[str, OSError] = {}
        if names or ended:
            found = self._names(trusted, unanswered)
        else:
            found = {name: (known.state.inode, known.nsid) for name, known in trusted.items()}
        after: dict[str, _Known] = {}
        for name, (inode, nsid) in found.items():
            known = trusted.get(name)
            if known is not None and (known.state.inode, known.nsid) != (inode, nsid):
                del trusted[name]
                known = None
            addresses = known.state.addresses if known is not None else ()
            if (
                known is None
                or pending.overrun
                or nsid in pending.addresses
                or name in self._unanswered
            ):
                try:
                    addresses = self._addresses(nsid)
                except OSError as error:
                    unanswered[name] = error
            ends = self._pair_ends.get(nsid, ())
            after[name] = _Known(NamespaceState(name, inode, addresses, ends), nsid)
        for name in unanswered.keys() - self._unanswered:
            reason = str(unanswered[name])
            _log.warning("network namespace could not be asked", name=name, error=reason)
        self._unanswered = set(unanswered)
        self._known = after
        self._tell(before, trusted, after)

    def _ended(self, pending: Changes) -> set[int]:
        if not pending.ended:
            return set()
        own = (None, self._queries.own_nsid())
        return {nsid for numbering, nsid in pending.ended if numbering in own}

    def _names(
        self, trusted: dict[str, _Known], unanswered: dict[str, OSError]
    ) -> dict[str, tuple[int, int]]:
        """Name -> (inode, nsid) of what is in the directory; room goes to those known first."""
        found: dict[str, tuple[int, int]] = {}
        ignored = 0
        for file in network_namespaces(self._directory, first=trusted):
            if len(found) + len(unanswered) >= self._namespaces_max:
                ignored += 1
                continue
            try:
                found[file.name] = (file.inode, self._queries.nsid(file.fd))
            except OSError as error:
                unanswered[file.name] = error
        if ignored and not self.ignored:
            _log.warning(
                "too many network namespaces: some are ignored",
                ignored=ignored,
                namespaces_max=self._namespaces_max,
            )
        self.ignored = ignored
        return found

    def _addresses(self, nsid: int) -> tuple[str, ...]:
        found = sorted(set(self._queries.addresses(nsid)), key=_rank)
        return tuple(map(str, found[: self._addresses_max]))

    def _tell(
        self, before: dict[str, _Known], trusted: dict[str, _Known], after: dict[str, _Known]
    ) -> None:
        for name, old in before.items():
            if name not in after or name not in trusted:
                self._tell_one(old.state, None)
        for name, new in after.items():
            known = trusted.get(name)
            if known is None:
                self._tell_one(None, new.state)
            elif known.state != new.state:
                self._tell_one(known.state, new.state)

    def _tell_one(self, before: NamespaceState | None, after: NamespaceState | None) -> None:
        try:
            self._on_change(before, after)
        except Exception:  # noqa: BLE001 -- border: the watcher must outlive its listener
            _log.exception("a change of a network namespace was not taken in")


def _rank(address: IPAddress) -> tuple[bool, int, int]:
    """Link-local last, then IPv4 first, then by number."""
    return address.is_link_local, address.version, int(address)
