"""From batches of packets to the sinks of those who want them: the exact decision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import structlog

from palomar_recorder.ending import Ending
from palomar_recorder.packets import Packets
from palomar_server.recording.packet_heads import HeadReader
from palomar_server.recording.packet_notes import PacketNotes
from palomar_server.recording.packet_route import PacketRoute, Role
from palomar_server.recording.packet_rows import ROWS_AT_ONCE, PacketRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from palomar_bpf.packet_batch import PacketBatch
    from palomar_server.decode.options import DecodeOptions
    from palomar_server.recording.packet_filter import CompiledPacketFilter
    from palomar_server.recording.packet_heads import PacketHeads
    from palomar_server.recording.subscription import Subscription
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask
    from palomar_server.view import FlowSource, View

log = structlog.get_logger(__name__)

_SHARE = 4
"""Packets are copied where they are less than this part of their buffer: a queue would hold all
others, too, that were read at the same time."""


@dataclass(slots=True)
class _Choice:
    """What is known so far of the packets that one route may get."""

    route: PacketRoute
    selected: Mask
    """Surely its own; shape (n,)."""
    packets: Mask | None
    """To be decided by its filter without flows."""
    flows: Mask | None
    """To be decided by its filter with flows."""
    triggers: Mask | None
    """To be decided by its trigger."""

    @property
    def wants_rows(self) -> bool:
        """Whether any packets have to be decoded."""
        return (
            self.flows is not None
            or self.triggers is not None
            or self.route.subscription.wants_notes
        )

    def rows(self, piece: slice) -> Iterator[Mask]:
        """Which packets of a piece have to be decoded: those of any of these."""
        if self.flows is not None:
            yield self.flows[piece]
        if self.triggers is not None:
            yield self.triggers[piece]
        if self.route.subscription.wants_notes:
            yield self.selected[piece]


class PacketRouter:
    """Gives packets to subscriptions. For one thread.

    Args:
        surroundings: gives meaning to what payloads refer to.
        flows: builds protobuf flows.
        apart: keeps the agent from changing the surroundings for as long as it is entered.
        options: what users chose of decoding.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        flows: FlowSource,
        apart: Callable[[], AbstractContextManager[object]],
        options: DecodeOptions | None = None,
    ) -> None:
        self._surroundings = surroundings
        self._offset_ns = surroundings.boot_offset_ns
        self._reader = HeadReader(lambda: surroundings.known_links, lambda: self._offset_ns)
        self._rows = PacketRows(surroundings, flows, apart, options)
        self._notes = PacketNotes(surroundings)
        self._is_stale = False
        self.passed_over = 0
        """Payloads that were none of palomar's own."""

    def forget(self) -> None:
        """Look up names anew: some may have changed. From any thread."""
        self._is_stale = True

    def route(self, subscription: Subscription) -> PacketRoute:
        """A way to a subscription, whose sink knows the clock of the packets. From any thread."""
        subscription.sink.clock_offset_ns = self._surroundings.boot_offset_ns
        return PacketRoute(subscription)

    def read(self, batch: PacketBatch) -> PacketHeads:
        """The packets of a batch in the order of their times."""
        if self._is_stale:
            self._is_stale = False
            self._reader.forget()
        self._offset_ns = self._surroundings.boot_offset_ns
        heads = self._reader.read(batch.payloads, batch.rules)
        self.passed_over += heads.passed_over
        return heads

    def deliver(self, heads: PacketHeads, routes: Sequence[PacketRoute]) -> None:
        """Give packets to those whose rules they matched, and whose filters."""
        if not len(heads):
            return
        for route in routes:
            route.clock_is(self._offset_ns)
        choices = [choice for route in routes if (choice := _choose(heads, route)) is not None]
        if choices:
            self._decide(heads, choices)

    def deliver_past(self, heads: PacketHeads, route: PacketRoute) -> None:
        """Give packets of the past, that its filter selects, to one route."""
        if len(heads):
            count = len(heads)
            everything = np.ones(count, np.bool_)
            self._decide(heads, [_Choice(route, ~everything, None, everything, None)])

    def _decide(self, heads: PacketHeads, choices: list[_Choice]) -> None:
        packets = Packets(
            *(heads.buffer, heads.starts, heads.captured_bytes, heads.original_bytes),
            *(heads.times_ns, heads.interfaces, np.zeros(len(heads), np.uint32)),
            heads.interface_table,
        )
        for choice in choices:
            self._guard(choice, _ask_by_packet, packets)
        noted = packets
        if any(choice.wants_rows for choice in choices):
            noted = self._decide_by_flow(heads, packets, choices)
        for choice in choices:
            wants_notes = choice.route.subscription.wants_notes
            self._guard(choice, _offer, noted if wants_notes else packets)

    def _decide_by_flow(
        self, heads: PacketHeads, packets: Packets, choices: list[_Choice]
    ) -> Packets:
        """Ask filters and triggers that need flows; the packets with notes, where any are wanted.

        Many packets go piece by piece: rows of all of them would not fit into the CPU's cache.
        """
        notes, note_table = np.zeros(len(heads), np.uint32), [""]
        with_notes = [one for one in choices if one.route.subscription.wants_notes]
        for start in range(0, len(heads), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            wanted = [mask for choice in choices for mask in choice.rows(piece)]
            seen = _Seen(heads, packets.take(piece), self._rows, piece, wanted)
            for choice in choices:
                self._guard(choice, _ask_by_flow, piece, seen)
            if with_notes:
                which = np.logical_or.reduce([one.selected[piece] for one in with_notes])
                seen.note(self._notes, which, notes[piece], note_table)
        return replace(packets, notes=notes, note_table=note_table)

    @staticmethod
    def _guard(choice: _Choice, step: Callable[..., None], *arguments: object) -> None:
        """Do a step for a recording whose fault must not end the others."""
        if not choice.route.is_open:
            return
        try:
            step(choice, *arguments)
        except Exception as error:
            log.exception("packets for a recording could not be chosen")
            choice.route.subscription.sink.close(
                Ending.ERROR, f"choosing packets failed: {type(error).__name__}: {error}"
            )


class _Seen:
    """A piece of many packets, and the rows of those that somebody wants decoded.

    Args:
        heads: of all packets.
        packets: those of the piece, n of them.
        rows: decodes.
        piece: which they are.
        wanted: which to decode: those of any of these masks, shape (n,).
    """

    def __init__(
        self,
        heads: PacketHeads,
        packets: Packets,
        rows: PacketRows,
        piece: slice,
        wanted: Sequence[Mask],
    ) -> None:
        self.packets = packets
        which = np.logical_or.reduce(wanted).nonzero()[0]
        self._view: View | None = None
        self._places: NDArray[np.intp] | None = None
        if len(which) == len(packets):
            self._view = rows.decode(heads, piece)
        elif len(which):
            self._view = rows.decode(heads, which + piece.start)
            self._places = np.zeros(len(packets), np.intp)
            self._places[which] = np.arange(len(which))

    def mask(self, asked: CompiledPacketFilter, which: Mask) -> Mask:
        """Which of some packets, all of them decoded, a filter selects; shape (n,)."""
        selected = np.zeros(len(which), np.bool_)
        indexes = which.nonzero()[0]
        if len(indexes) == len(which):
            return asked.mask(self._of(indexes), self.packets)
        if len(indexes):
            selected[indexes] = asked.mask(self._of(indexes), self.packets.take(indexes))
        return selected

    def note(
        self, notes: PacketNotes, which: Mask, numbers: NDArray[np.uint32], table: list[str]
    ) -> None:
        """Put notes on some packets, all of them decoded.

        Args:
            notes: words them.
            which: the packets, shape (n,).
            numbers: gets the index in `table` of their notes, shape (n,).
            table: gets the notes that are new.
        """
        indexes = which.nonzero()[0]
        if len(indexes):
            note_of, words = notes.of(self._of(indexes))
            numbers[indexes] = note_of + np.uint32(len(table) - 1)
            table += words[1:]

    def _of(self, indexes: NDArray[np.intp]) -> View:
        view = self._view
        assert view is not None  # noqa: S101 - whoever asks has asked for rows
        if self._places is not None:
            return view.take(self._places[indexes])
        return view if len(indexes) == len(view) else view.take(indexes)


def _choose(heads: PacketHeads, route: PacketRoute) -> _Choice | None:
    """What the rules say alone; None if they say that there is nothing for this one."""
    if not route.is_open:
        return None
    selected = route.matched(Role.EXACT, heads.rules)
    packets = route.matched(Role.PACKET, heads.rules)
    flows = route.matched(Role.FLOW, heads.rules)
    triggers = route.matched(Role.TRIGGER, heads.rules) if route.is_armed else None
    if not any(
        mask is not None and np.count_nonzero(mask) for mask in (selected, packets, flows, triggers)
    ):
        return None
    if selected is None:
        selected = np.zeros(len(heads), np.bool_)
    else:
        packets, flows = (mask if mask is None else mask & ~selected for mask in (packets, flows))
    return _Choice(route, selected, packets, flows, triggers)


def _ask_by_packet(choice: _Choice, packets: Packets) -> None:
    """Ask the filter about packets that it can tell by themselves."""
    if choice.packets is None:
        return
    which = choice.packets.nonzero()[0]
    if len(which):
        some = packets if len(which) == len(packets) else packets.take(which)
        choice.selected[which] = choice.route.subscription.filter.mask(None, some)


def _ask_by_flow(choice: _Choice, piece: slice, seen: _Seen) -> None:
    """Ask the filter and the trigger about a piece."""
    subscription = choice.route.subscription
    if choice.flows is not None:
        choice.selected[piece] |= seen.mask(subscription.filter, choice.flows[piece])
    if choice.triggers is None or subscription.trigger is None or not choice.route.is_armed:
        return
    fired = seen.mask(subscription.trigger, choice.triggers[piece]).nonzero()[0]
    if len(fired):
        _fire(choice.route, int(seen.packets.times_ns[fired[0]]))


def _fire(route: PacketRoute, time_ns: int) -> None:
    subscription = route.subscription
    # First: who counts losses on another thread asks for it once the trigger has fired.
    route.since_ns = time_ns - subscription.before_ns
    subscription.triggered_ns = time_ns
    subscription.on_trigger(time_ns)
    if route.kept is not None:
        kept, route.kept = route.kept.take(route.since_ns), None
        for packets in kept:
            subscription.sink.offer(packets)


def _offer(choice: _Choice, packets: Packets) -> None:
    """Hand on what is selected."""
    route, selected = choice.route, choice.selected
    subscription = route.subscription
    if route.since_ns is not None and int(packets.times_ns[0]) < route.since_ns:
        selected = selected & (packets.times_ns >= route.since_ns)
    count = np.count_nonzero(selected)
    if not count or (route.is_armed and route.kept is None):
        return
    if count < len(selected):
        packets = packets.take(selected.nonzero()[0])
    if subscription.snaplen_bytes:
        packets = packets.cut(subscription.snaplen_bytes)
    if route.is_armed and route.kept is not None:
        route.kept.add(packets.compacted())
        return
    if _SHARE * int(packets.captured_bytes.sum()) < len(packets.buffer):
        packets = packets.compacted()
    subscription.sink.offer(packets)
