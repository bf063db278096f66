"""The way from the kernel's rules to one subscription: which rule numbers mean its packets."""

from __future__ import annotations

import enum
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.recording.packet_ring import PacketRing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from palomar_bpf.capture_rule import CaptureRule
    from palomar_server.recording.subscription import Subscription
    from palomar_server.table import Mask

_WORD_BITS = 64
_CLOCK_SET_MIN_NS = 1_000_000
"""Less is how the clocks were read."""
_LOSSES_BEFORE_MAX = 4_096
"""Losses from before the trigger that are kept, about four a second."""


class Role(enum.Enum):
    """What it means for a subscription that a packet matched a rule."""

    EXACT = "exact"
    """The packet is one of its own."""
    PACKET = "packet"
    """It is, if the filter selects it; which it can tell by the packet, given the rule."""
    FLOW = "flow"
    """It is, if the filter selects its flow."""
    TRIGGER = "trigger"
    """It may be one for the trigger."""


@dataclass(frozen=True, slots=True)
class WantedRule:
    """A rule and what it is for."""

    rule: CaptureRule
    role: Role


class PacketRoute:
    """A subscription with its rules.

    Args:
        subscription: whose.
    """

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.rules: Mapping[WantedRule, int] = {}
        """The rules that are to be in the kernel, and their numbers; replaced as a whole."""
        self.old: Mapping[int, tuple[Role, int]] = {}
        """Numbers of further rules that packets to come may still have, and until which reading;
        replaced as a whole."""
        self.new: frozenset[int] = frozenset()
        """Numbers of rules that are not in the kernel yet: losses by them are of rules before."""
        self.lost: dict[int, tuple[int, int]] = {}
        """What was lost by each number when that was last looked at."""
        self.kept: PacketRing | None = None
        """Packets from before the trigger."""
        self.since_ns: int | None = None
        """Packets from before are not taken any more."""
        if subscription.trigger is not None and subscription.before_ns:
            self.kept = PacketRing(subscription.before_max_bytes, subscription.before_ns)
        self._lost_before: deque[tuple[int, int, int]] = deque(maxlen=_LOSSES_BEFORE_MAX)
        """When it was told, UTC, how many packets and how many bytes of them."""
        self.bits: Mapping[Role, NDArray[np.uint64]] = {}
        """Words of the numbers of each role, those without any left out; replaced as a whole."""

    @property
    def is_open(self) -> bool:
        """Whether its sink takes packets."""
        return self.subscription.sink.ending is None

    @property
    def is_armed(self) -> bool:
        """Whether it waits for its trigger."""
        return self.subscription.trigger is not None and self.subscription.triggered_ns is None

    def update(self, words: int, reading: int) -> None:
        """Make `bits` anew.

        Args:
            words: of each packet's rules.
            reading: forget old numbers that go until this one.
        """
        self.old = {number: old for number, old in self.old.items() if old[1] > reading}
        bits: dict[Role, NDArray[np.uint64]] = {}
        roles = [(number, wanted.role) for wanted, number in self.rules.items()]
        roles += [(number, role) for number, (role, _) in self.old.items()]
        for number, role in roles:
            if role not in bits:
                bits[role] = np.zeros(words, np.uint64)
            bits[role][number // _WORD_BITS] |= np.uint64(1 << number % _WORD_BITS)
        self.bits = bits

    @property
    def numbers(self) -> frozenset[int]:
        """Of all rules that mean its own packets."""
        numbers = {n for one, n in self.rules.items() if one.role is not Role.TRIGGER}
        old = {n for n, (role, _) in self.old.items() if role is not Role.TRIGGER}
        return frozenset(numbers | old)

    @property
    def varies(self) -> bool:
        """Whether other rules may be needed when endpoints or links have changed."""
        return self.is_open and (
            self.subscription.trigger is not None or not self.subscription.filter.is_fixed
        )

    @property
    def has_spent_trigger(self) -> bool:
        """Whether there are rules for a trigger that has fired."""
        return not self.is_armed and any(one.role is Role.TRIGGER for one in self.rules)

    def clock_is(self, offset_ns: int) -> None:
        """Note by how much the clock of the packets to come is ahead of one that nobody sets."""
        moved_ns = offset_ns - self.subscription.sink.clock_offset_ns
        self.subscription.sink.clock_offset_ns = offset_ns
        if abs(moved_ns) < _CLOCK_SET_MIN_NS:
            return
        if self.since_ns is not None:
            self.since_ns += moved_ns
        if self.kept is not None:
            self.kept.clock_set(moved_ns)

    def has_expired(self, reading: int) -> bool:
        """Whether there are old numbers that no packet has any more, for `update` to forget."""
        return any(until <= reading for _, until in self.old.values())

    def tell_lost(self, lost: Mapping[int, tuple[int, int]], everything: int | None) -> None:
        """Tell the sink what was lost since the last time.

        Args:
            lost: by rule number, the packets and captured bytes lost since the rule was set.
            everything: the number of a rule that is not only this route's.
        """
        numbers = {number: wanted.role for wanted, number in self.rules.items()}
        numbers.update((number, role) for number, (role, _) in self.old.items())
        packets = captured_bytes = 0
        counted = {}
        for number, role in numbers.items():
            if number in self.new:
                continue
            counted[number] = now = lost.get(number, (0, 0))
            before = self.lost.get(number, (0, 0))
            if role is not Role.TRIGGER and number != everything:
                packets += max(0, now[0] - before[0])
                captured_bytes += max(0, now[1] - before[1])
        self.lost = counted
        if self.is_armed:
            self._keep_lost(packets, captured_bytes)
            return
        while self._lost_before:
            time_ns, *lost_before = self._lost_before.popleft()
            if self.since_ns is not None and time_ns >= self.since_ns:
                packets += lost_before[0]
                captured_bytes += lost_before[1]
        if packets:
            self.subscription.sink.add_lost_perf_ring(packets, captured_bytes)

    def _keep_lost(self, packets: int, captured_bytes: int) -> None:
        """Note what is missing of the packets from before the trigger, if it fires soon."""
        if packets and self.kept is not None:
            self._lost_before.append((time.time_ns(), packets, captured_bytes))

    def matched(self, role: Role, rules: NDArray[np.uint64]) -> Mask | None:
        """Which packets matched a rule of this role; None if there is no such rule.

        Args:
            role: which rules.
            rules: of n packets, shape (n, words).
        """
        bits = self.bits.get(role)
        if bits is None:
            return None
        matched: Mask | None = None
        for word in bits.nonzero()[0].tolist():
            found = (rules[:, word] & bits[word]) != 0
            matched = found if matched is None else matched | found
        return matched
