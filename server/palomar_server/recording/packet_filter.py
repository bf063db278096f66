"""A recording's filter: rules for the kernel, and what decides exactly on the packets that come up.

The rules are necessary: no packet that the filter selects fails all of them. Where they are
sufficient, too, `is_exact` says so, and nothing more need be asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX, CaptureRule
from palomar_server.errors import InvalidRequest
from palomar_server.filters.compiled import CompiledFilter, FilterLimits
from palomar_server.recording.both_ways import both_ways
from palomar_server.recording.flow_rules import FlowRules
from palomar_server.recording.packet_headers import HEADERS_BYTES_MAX
from palomar_server.recording.packet_tuples import PacketTuples
from palomar_server.recording.pcap_filter import PcapExpression
from palomar_server.recording.possible_fields import check_possible
from palomar_server.recording.rule_plan import meet_all, reduced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from palomar_proto.flow import flow_pb2
    from palomar_proto.palomar.v1.recordings_pb2 import PacketFilter
    from palomar_recorder.packets import Packets
    from palomar_server.encode import FlowEncoder
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask
    from palomar_server.view import View

RULES_PER_FILTER_MAX = 16
"""Rules of one filter: so many recordings with so many each are all that the kernel takes."""
_LIMITS = FilterLimits()


class CompiledPacketFilter:
    """What a recording selects.

    Args:
        request: what to select; both ways, if it does not say otherwise.
        surroundings: the tables that flows refer to.
        encoder: knows this node's name and labels.
        limits: how much may be asked for; of filters and values twice as much is taken, as each
            filter may have a companion for the other way.
        build: gives further predicates of a flow filter, all of which must let a packet pass.

    Raises:
        InvalidRequest: a value breaks its field's rule, can match no packet, or there are too many.
        NotReady: there is no libpcap to compile the pcap expression.
    """

    def __init__(
        self,
        request: PacketFilter,
        *,
        surroundings: Surroundings,
        encoder: FlowEncoder,
        limits: FilterLimits = _LIMITS,
        build: Callable[[flow_pb2.FlowFilter], Sequence[Predicate]] | None = None,
    ) -> None:
        twice = replace(
            limits, filters_max=2 * limits.filters_max, values_max=2 * limits.values_max
        )
        check_counts(request, twice)
        packets = both_ways(request)
        further = _Further(build)
        self._flows = CompiledFilter(
            packets.whitelist,
            packets.blacklist,
            surroundings,
            encoder,
            limits=twice,
            build=further.build,
        )
        check_counts(packets, twice)
        _check_packets(packets)
        self._tuples = PacketTuples(packets.tuples) if packets.tuples else None
        self._pcap = PcapExpression(packets.pcap_filter) if packets.pcap_filter.strip() else None
        self._flow_rules = [FlowRules(one, surroundings, encoder) for one in packets.whitelist]
        decided = all(one.is_exact for one in self._flow_rules)
        self.needs_flow = bool(packets.blacklist) or not decided or further.has_some
        """Whether `mask` has to be given flows; else the packets are enough for it."""
        self.is_fixed = all(one.is_fixed for one in self._flow_rules)
        """Whether `rules` are the same whatever endpoints and interfaces there are."""
        self.is_exact = False
        """Whether what passes the last rules is selected, so that `mask` need not be asked."""
        self._rules_decide_tuples = False

    @property
    def reads_bytes(self) -> int:
        """How many bytes of each packet have to be there for `mask` to decide.

        A shorter snaplen is to be applied behind it.
        """
        if self._pcap is not None:
            return PACKET_SNAPLEN_BYTES_MAX
        return HEADERS_BYTES_MAX if self.needs_flow or self._tuples is not None else 0

    def rules(
        self, links: Mapping[int, str], rules_max: int = RULES_PER_FILTER_MAX
    ) -> list[CaptureRule]:
        """Rules of which every selected packet passes one, as things are now.

        To be called anew when endpoints or interfaces have changed, while the agent changes
        nothing; it sets `is_exact`.

        Args:
            links: names of the host's interfaces by index.
            rules_max: how many there may be, 1 or more; with fewer of them more packets come up.

        Returns:
            None at all if nothing can be selected now, as no pod of that name is there, say.
        """
        rules = [CaptureRule()]
        is_exact = True
        if self._flow_rules:
            flows = reduced(
                (rule for one in self._flow_rules for rule in one.rules(links)), rules_max
            )
            rules = meet_all(rules, flows.rules)
            is_exact = flows.is_exact
        if self._tuples is not None:
            tuples = reduced(self._tuples.rules(), rules_max)
            rules = meet_all(rules, tuples.rules)
            is_exact &= tuples.is_exact
        plan = reduced(rules, rules_max)
        self._rules_decide_tuples = is_exact and plan.is_exact
        self.is_exact = self._rules_decide_tuples and not self.needs_flow and self._pcap is None
        return list(plan.rules)

    def mask(self, view: View | None, packets: Packets) -> Mask:
        """Which packets are selected, exactly, shape (n,).

        Args:
            view: the flow of each packet, n rows. Without, the packets must have passed the last
                rules, and `needs_flow` be False.
            packets: with at least `reads_bytes` of each captured.

        Raises:
            ValueError: flows are needed.
        """
        if view is None and self.needs_flow:
            raise ValueError("flows are needed to decide on these packets; hand in a view")
        mask: Mask
        mask = np.ones(len(packets), np.bool_) if view is None else self._flows.mask(view)
        if self._tuples is not None and not (view is None and self._rules_decide_tuples):
            mask = _narrowed(mask, packets, self._tuples.mask)
        if self._pcap is not None:
            mask = _narrowed(mask, packets, self._pcap.mask)
        return mask


def _narrowed(mask: Mask, packets: Packets, ask: Callable[[Packets], Mask]) -> Mask:
    """Of the packets that are left, those that pass."""
    which = mask.nonzero()[0]
    if len(which) == len(mask):
        return ask(packets)
    if len(which):
        mask[which] = ask(packets.take(which))
    return mask


class _Further:
    """Notes whether there are any further predicates."""

    def __init__(self, build: Callable[[flow_pb2.FlowFilter], Sequence[Predicate]] | None) -> None:
        self._build = build
        self.has_some = False

    def build(self, flow_filter: flow_pb2.FlowFilter) -> Sequence[Predicate]:
        """The further predicates of a filter."""
        found = () if self._build is None else self._build(flow_filter)
        self.has_some |= bool(found)
        return found


def check_counts(packets: PacketFilter, limits: FilterLimits) -> None:
    """Refuse more filters or tuples than there may be, before anything goes through them.

    Raises:
        InvalidRequest: there are too many.
    """
    for name in ("whitelist", "blacklist", "tuples"):
        count = len(getattr(packets, name))
        if count > limits.filters_max:
            raise InvalidRequest(name, count, f"{name} are over {limits.filters_max}")


def _check_packets(packets: PacketFilter) -> None:
    for name in ("whitelist", "blacklist"):
        for index, one in enumerate(getattr(packets, name)):
            check_possible(one, f"{name}[{index}]")
