"""Packets for recordings: the facade that the server's dispatcher drives.

In go rules by number; out come batches of packets, each with the rules it matched, and what full
rings lost of each rule. While there are no rules nothing is attached and no ring is mapped.

Threads: one calls `read()`; everything else but `close()` may be called from any.
"""

from __future__ import annotations

import contextlib
import mmap
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_bpf.attachment import DROP_TRACEPOINT, RawTracepoint, attach_recording
from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX, RULES_MAX, PacketPoint
from palomar_bpf.errors import CaptureError
from palomar_bpf.packet_batch import split_rules
from palomar_bpf.perf_event import await_programs
from palomar_bpf.reader import PerfReader
from palomar_bpf.record_hooks import RecordHooks
from palomar_bpf.rule_maps import RuleMaps
from palomar_bpf.rule_tables import make_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from palomar_bpf.capture_rule import CaptureRule
    from palomar_bpf.links import Link
    from palomar_bpf.loader import Programs
    from palomar_bpf.packet_batch import PacketBatch
    from palomar_bpf.settings import CaptureSettings

_RECORD_OVERHEAD_BYTES = 256
"""More than a perf record takes beside the packet's bytes."""
_TC_POINTS = frozenset({PacketPoint.INGRESS, PacketPoint.EGRESS})


@dataclass(frozen=True, slots=True)
class _Active:
    """What the kernel was last told."""

    rules: Mapping[int, CaptureRule]
    snaplen_bytes: int


_NOTHING = _Active({}, 0)


class PacketCapture:
    """The packets that rules ask for, at observed interfaces and where the kernel drops them.

    Args:
        maps: Name -> descriptor of the loaded programs' maps.
        hooks: Puts the record programs on interfaces.
        drops: Where the program for drops goes; None: drops are not reported at all.
        pages_per_cpu: Size of each CPU's perf ring in pages of memory, a power of two.
        coalesce_max_s: Longest time in seconds that packets wait for company on a busy node.
    """

    def __init__(
        self,
        maps: Mapping[str, int],
        *,
        hooks: RecordHooks,
        drops: RawTracepoint | None,
        pages_per_cpu: int,
        coalesce_max_s: float,
    ) -> None:
        self._events_fd = maps["recorded"]
        self._maps = RuleMaps(maps)
        self._hooks = hooks
        self._drops = drops
        self._pages_per_cpu = pages_per_cpu
        self._coalesce_max_s = coalesce_max_s
        self._changing = threading.Lock()
        self._active = _NOTHING
        self._lost_before: dict[int, tuple[int, int]] = {}
        # Of the following, so that reading never waits for a change of rules, which takes long.
        self._reading = threading.Condition()
        self._reader: PerfReader | None = None
        self._idle = True
        self._woken = False

    @property
    def snaplen_bytes_max(self) -> int:
        """Most bytes of a packet that a ring of this size has room for."""
        half_bytes = self._pages_per_cpu * mmap.PAGESIZE // 2
        return min(PACKET_SNAPLEN_BYTES_MAX, half_bytes - _RECORD_OVERHEAD_BYTES)

    @property
    def interfaces(self) -> Mapping[str, str]:
        """Name of each interface that has the record programs on it -> "tcx" or "clsact"."""
        with self._changing:
            return self._hooks.methods

    def set_rules(self, rules: Mapping[int, CaptureRule], snaplen_bytes: int) -> None:
        """Make exactly these rules hold.

        Takes as long as the kernel needs to put programs on interfaces, some 20 ms for each, where
        they are not there yet. On return every packet that is seen is matched with the new rules,
        and all that rules which are no more have matched is in the rings: `read()` gives it before
        it returns None to a caller that does not wait.

        A rule that stays as it is misses nothing. One that changes misses nothing that both its
        contents take; during the change it may take packets that match one part of the old and
        another of the new. A number that was taken away can be used for another rule at once, but
        until the rings were read through, packets of the old one are in them.

        Without rules nothing stays attached; the rings go once `read()` has found them empty.

        Args:
            rules: Number, 0 to RULES_MAX - 1 -> rule.
            snaplen_bytes: How much of each packet to hand over, 1 to `snaplen_bytes_max`; of no
                meaning without rules.

        Raises:
            ValueError: a number or `snaplen_bytes` is out of range.
            CaptureError: the kernel refused, or the rules are more than it holds. Those from before
                hold on, as far as the kernel lets them.
        """
        self._check(rules, snaplen_bytes)
        wanted = _Active(dict(rules), snaplen_bytes if rules else 0)
        with self._changing:
            before = self._active
            try:
                self._change(before, wanted)
            except BaseException:
                with contextlib.suppress(CaptureError):
                    self._restore(before)
                raise
            self._active = wanted
            if not rules:
                self._become_idle()

    def count_together(self, groups: Iterable[Collection[int]]) -> None:
        """Have a lost packet count for one rule only of those of a group that it matched.

        Args:
            groups: Numbers of rules, also of some that are to be set; those in no group are by
                themselves.

        Raises:
            CaptureError: the kernel refused.
        """
        with self._changing:
            self._maps.count_together(groups)

    def read(self, timeout_s: float | None) -> PacketBatch | None:
        """Wait for packets and take all there are; from one thread.

        Args:
            timeout_s: How long to wait, in seconds; None for as long as it takes.

        Returns:
            None if the time was up or `wake()` was called and there was nothing to read.
        """
        with self._reading:
            self._reading.wait_for(lambda: self._reader is not None or self._woken, timeout_s)
            self._woken = False
            reader = self._reader
        if reader is None:
            return None
        samples = reader.read(timeout_s)
        if samples is None:
            with self._reading:
                # Looked at again: programs may have sent something between that look and their end.
                samples = reader.read(0) if self._idle else None
                if samples is None and self._idle:
                    reader.close()
                    self._reader = None
        return None if samples is None else split_rules(samples)

    def wake(self) -> None:
        """Make the `read()` that is running, or else the next one, return without waiting."""
        with self._reading:
            if self._reader is not None:
                self._reader.wake()
            else:
                self._woken = True
                self._reading.notify()

    def lost(self) -> Mapping[int, tuple[int, int]]:
        """Number of each rule -> (packets, captured bytes) that full rings lost since it was set.

        Rules that are no more are among them until their number is used again: what they lost up to
        their end is only known behind it.

        Raises:
            CaptureError: the kernel refused.
        """
        # Without waiting for a change of rules, which takes long: who asks is who reads.
        lost = {}
        for rule, (packets, size) in self._lost_before.items():
            packets_now, size_now = self._maps.lost(rule)
            lost[rule] = packets_now - packets, size_now - size
        return lost

    def follow(self, links: Mapping[int, Link], gone: Collection[int] = ()) -> None:
        """Note which links are observed now; called by the live capture.

        Args:
            links: By index.
            gone: Indices whose link vanished, even if another link has one of them by now.
        """
        with self._changing:
            self._hooks.follow(links, gone)

    def close(self) -> None:
        """Detach everything and free the rings; no thread may be in `read()` any more."""
        self.set_rules({}, 0)
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _check(self, rules: Mapping[int, CaptureRule], snaplen_bytes: int) -> None:
        for number in rules:
            if not 0 <= number < RULES_MAX:
                raise ValueError(f"rule number is {number}, must be 0 to {RULES_MAX - 1}")
        if rules and not 1 <= snaplen_bytes <= self.snaplen_bytes_max:
            raise ValueError(
                f"snaplen_bytes is {snaplen_bytes}, must be 1 to {self.snaplen_bytes_max} with "
                f"perf rings of {self._pages_per_cpu} pages"
            )

    def _change(self, before: _Active, wanted: _Active) -> None:
        """From one state to another; every state on the way is sound for the rules that stay."""
        if wanted.rules:
            self._map_rings()
        kept = before.rules.keys() & wanted.rules.keys()
        added = wanted.rules.keys() - before.rules.keys()
        between = [*((number, before.rules[number]) for number in kept), *wanted.rules.items()]
        self._maps.write(
            make_tables(between),
            enabled=_set_of(kept),
            snaplen_bytes=max(before.snaplen_bytes, wanted.snaplen_bytes),
        )
        self._attach([*before.rules.values(), *wanted.rules.values()])
        lost = {number: self._maps.lost(number) for number in added}
        self._maps.write(
            make_tables(wanted.rules.items()),
            enabled=_set_of(wanted.rules),
            snaplen_bytes=wanted.snaplen_bytes,
        )
        self._attach(wanted.rules.values())
        if any(wanted.rules.get(number) != rule for number, rule in before.rules.items()):
            await_programs()
        # Another one, as `lost` may be going through this one.
        self._lost_before = self._lost_before | lost

    def _restore(self, before: _Active) -> None:
        """After a change that failed half-way."""
        self._maps.write(
            make_tables(before.rules.items()),
            enabled=_set_of(before.rules),
            snaplen_bytes=before.snaplen_bytes,
        )
        self._attach(before.rules.values())
        if not before.rules:
            self._become_idle()

    def _attach(self, rules: Collection[CaptureRule]) -> None:
        """Put the programs where these rules need them, and nowhere else."""
        at_hooks = [rule for rule in rules if rule.points & _TC_POINTS]
        if all(rule.ifindexes for rule in at_hooks):
            self._hooks.want({ifindex for rule in at_hooks for ifindex in rule.ifindexes})
        else:
            self._hooks.want(None)
        if self._drops is None:
            return
        if any(PacketPoint.DROP in rule.points for rule in rules):
            self._drops.attach()
        else:
            self._drops.detach()

    def _map_rings(self) -> None:
        with self._reading:
            self._idle = False
            if self._reader is None:
                self._reader = PerfReader(
                    self._events_fd,
                    pages_per_cpu=self._pages_per_cpu,
                    coalesce_max_s=self._coalesce_max_s,
                )
                self._reading.notify()

    def _become_idle(self) -> None:
        """Nothing will come any more: whoever reads frees the rings when they are empty."""
        with self._reading:
            self._idle = True
            if self._reader is not None:
                self._reader.wake()


def make_packet_capture(
    programs: Programs, settings: CaptureSettings, mark: str = ""
) -> PacketCapture:
    """Packet capture with loaded programs, which stay the caller's and must outlive it.

    Args:
        programs: That record.
        settings: What is captured.
        mark: See `palomar_bpf.attachment.attach`.
    """
    reported = settings.drops != "off"
    return PacketCapture(
        programs.maps,
        hooks=RecordHooks(
            lambda link: attach_recording(programs, link, method=settings.attach_method, mark=mark)
        ),
        drops=RawTracepoint(DROP_TRACEPOINT, programs.record_drop_fd) if reported else None,
        pages_per_cpu=settings.record_pages_per_cpu,
        coalesce_max_s=settings.coalesce_max_s,
    )


def _set_of(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)
