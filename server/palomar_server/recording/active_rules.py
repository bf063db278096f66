"""The rules of all routes in the kernel: their numbers, and how they change without a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX, RULE_WORDS, RULES_MAX, CaptureRule
from palomar_bpf.errors import CaptureError
from palomar_server.recording.packet_route import Role, WantedRule
from palomar_server.recording.packet_rows import DECODED_BYTES
from palomar_server.recording.rule_numbers import RuleNumbers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from palomar_server.recording.packet_filter import CompiledPacketFilter
    from palomar_server.recording.packet_route import PacketRoute
    from palomar_server.recording.packet_source import PacketSource

log = structlog.get_logger(__name__)

_READINGS = 2
"""The reading under way when a rule goes may have begun before; the next one has not."""


class ActiveRules:
    """Gives rules to a source. For one thread at a time.

    Readings count how often the ring was found empty, or as good as that.

    Args:
        source: takes the rules.
    """

    def __init__(self, source: PacketSource) -> None:
        self._source = source
        self._numbers = RuleNumbers(RULES_MAX)
        self._active: dict[int, CaptureRule] = {}
        self._snaplen_bytes = 0
        self.everything: int | None = None
        """Number of the rule that takes every packet's head, if there is one."""
        self._everything_bytes = 0

    def take_everything(self, snaplen_bytes: int, reading: int) -> None:
        """Have a rule that takes so much of every packet from the next `apply` on."""
        self.everything = self._take(1, reading)[0]
        self._everything_bytes = snaplen_bytes

    def drop_everything(self, reading: int) -> None:
        """Have no such rule any more."""
        if self.everything is not None:
            self._numbers.retire(self.everything, reading + _READINGS)
            self.everything, self._everything_bytes = None, 0

    def want(self, route: PacketRoute, wanted: Mapping[WantedRule, None], reading: int) -> bool:
        """Have a route go by these rules from the next `apply` on; False if nothing changes.

        Raises:
            CaptureError: there are not so many numbers; the route is as it was.
        """
        if wanted.keys() == route.rules.keys():
            return False
        new = [one for one in wanted if one not in route.rules]
        numbers = self._take(len(new), reading)
        until = reading + _READINGS
        rules, old = dict(route.rules), dict(route.old)
        for gone in route.rules.keys() - wanted.keys():
            number = rules.pop(gone)
            old[number] = (gone.role, until)
            self._numbers.retire(number, until)
        rules.update(zip(new, numbers, strict=True))
        route.new |= {*numbers}
        # Replaced, as other threads may be looking at them; old ones first, so that none misses a
        # number that moves.
        route.old, route.rules = old, rules
        route.update(RULE_WORDS, reading)
        return True

    def want_at_least(
        self, route: PacketRoute, wanted: Mapping[WantedRule, None], reading: int
    ) -> bool:
        """Have a route want these rules, or choose from all packets if they are too many.

        Raises:
            CaptureError: there are no numbers even for that; the route is as it was.
        """
        try:
            return self.want(route, wanted, reading)
        except CaptureError as error:
            log.warning("a recording has to choose from all packets", why=str(error))
        return self.want_all(route, reading)

    def want_all(self, route: PacketRoute, reading: int) -> bool:
        """Have a route choose from all packets: more is read then, and none is missed.

        Raises:
            CaptureError: there are no numbers for that; the route is as it was.
        """
        roles = (Role.FLOW, Role.TRIGGER) if route.is_armed else (Role.FLOW,)
        wanted = {WantedRule(CaptureRule(), role): None for role in roles}
        try:
            return self.want(route, wanted, reading)
        except CaptureError:
            if len(route.rules) < len(wanted):
                raise
        # Rules of its own become those for all, under their numbers. What has matched them up to
        # now is only decided once more.
        own = sorted(route.rules.items(), key=lambda item: item[0].role is Role.TRIGGER)
        kept = [own[0][1], own[-1][1]][: len(wanted)]
        until = reading + _READINGS
        gone = {number: one.role for one, number in own if number not in kept}
        route.old = {**route.old, **{number: (role, until) for number, role in gone.items()}}
        for number in gone:
            self._numbers.retire(number, until)
        route.rules = dict(zip(wanted, kept, strict=True))
        route.update(RULE_WORDS, reading)
        return True

    def _take(self, count: int, reading: int) -> list[int]:
        self._numbers.reached(reading)
        if (numbers := self._numbers.take(count)) is None:
            raise CaptureError(
                f"the filter needs {count} rules in the kernel and {self._numbers.free} of "
                f"{RULES_MAX} are free: give fewer filters or values, or stop other recordings"
            )
        return numbers

    def apply(self, routes: Collection[PacketRoute]) -> None:
        """Bring the rules of these routes into the kernel, and take all others out.

        No old number is forgotten meanwhile: the kernel gives it to packets until this is done.

        Raises:
            CaptureError: the kernel refuses; some may have changed.
        """
        wanted: dict[int, CaptureRule] = {}
        snaplen_bytes = self._everything_bytes
        if self.everything is not None:
            wanted[self.everything] = CaptureRule()
        for route in routes:
            wanted.update((number, one.rule) for one, number in route.rules.items())
            if route.rules:
                snaplen_bytes = max(snaplen_bytes, _snaplen_bytes(route))
        snaplen_bytes = min(snaplen_bytes, self._source.snaplen_bytes_max)
        self._source.count_together([route.numbers for route in routes])
        if wanted.keys() - self._active.keys() and self._active.keys() - wanted.keys():
            # What comes first, what goes afterwards: a packet may match both, and none neither.
            both = self._active | wanted
            self._source.set_rules(both, max(snaplen_bytes, self._snaplen_bytes))
            self._active = both
        if wanted != self._active or snaplen_bytes != self._snaplen_bytes:
            self._source.set_rules(wanted, snaplen_bytes)
        self._active, self._snaplen_bytes = wanted, snaplen_bytes


def wanted_rules(route: PacketRoute, links: Mapping[int, str]) -> dict[WantedRule, None]:
    """The rules that a route needs as things are now, each once. The agent is kept apart.

    Args:
        route: whose.
        links: names of the node's links by ifindex.
    """
    subscription = route.subscription
    rules = subscription.filter.rules(links)
    role = _role(subscription.filter)
    wanted = {WantedRule(rule, role): None for rule in rules}
    if route.is_armed and subscription.trigger is not None:
        for rule in subscription.trigger.rules(links):
            wanted[WantedRule(rule, Role.TRIGGER)] = None
    return wanted


def _role(one: CompiledPacketFilter) -> Role:
    """What it means that a packet passed the rules that a filter gave last."""
    if one.is_exact:
        return Role.EXACT
    # Without flows a filter counts on its last rules, and a packet may have passed others.
    return Role.PACKET if one.is_fixed and not one.needs_flow else Role.FLOW


def _snaplen_bytes(route: PacketRoute) -> int:
    """How much of each packet is needed, also to decide."""
    subscription = route.subscription
    needed = [
        subscription.snaplen_bytes or PACKET_SNAPLEN_BYTES_MAX,
        subscription.filter.reads_bytes,
    ]
    if subscription.trigger is not None:
        needed.append(subscription.trigger.reads_bytes)
    if subscription.wants_notes:
        needed.append(DECODED_BYTES)
    return max(needed)
