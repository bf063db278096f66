"""What filters look at: rows of the flow table together with what they refer to.

Columns answer most questions about a flow. What they have no room for stands in its message, and a
few questions need the whole flow as protobuf; a view gives both for the rows that are left by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from google.protobuf.message import DecodeError

from palomar_proto.flow import flow_pb2
from palomar_server.table import Kind, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    from palomar_server.table import Mask, Rows


FLOWS_SHARED_MAX = 256
"""Flows that a view may hold between two looks: some 500 KiB."""


class FlowSource(Protocol):
    """Builds the protobuf message of a row; `encode.FlowEncoder` is one."""

    def flow(self, row: Any, sequence: int | None = None, *, content: bytes = b"") -> flow_pb2.Flow:
        """The whole message of one element of a `FLOW` array."""


class MessageSource(Protocol):
    """Gives the messages of rows."""

    def __call__(self, number: int, /) -> bytes:
        """The message of the row with this number; empty where there is none any more."""


class View:
    """Rows to be looked at, for one look: it must not outlive the rows.

    Args:
        rows: dtype `FLOW`; they may be the ring's own memory, so nothing here changes them.
        first: number of the first row: its sequence in the ring, or 0 for a batch.
        messages: gives messages by these numbers.
        flows: builds protobuf flows.
        in_ring: whether the numbers are sequences, which events have that are in the ring.
    """

    __slots__ = (
        "_chosen",
        "_flows",
        "_kept",
        "_messages",
        "_only_flows",
        "_rows",
        "_taken",
        "_told",
        "_where",
        "first",
        "in_ring",
    )

    def __init__(
        self,
        rows: Rows,
        first: int,
        messages: MessageSource,
        flows: FlowSource,
        *,
        in_ring: bool = True,
    ) -> None:
        self.first = first
        self.in_ring = in_ring
        self._rows = rows
        self._chosen: NDArray[np.intp] | None = None
        """Which of `_rows` are looked at; None is all of them."""
        self._taken: Rows | None = None
        self._messages = messages
        self._flows = flows
        self._kept: dict[int, flow_pb2.Flow] = {}
        self._told: dict[int, flow_pb2.Flow] = {}
        self._only_flows: bool | None = None
        self._where: dict[Callable[[View], Mask], tuple[NDArray[np.intp], View]] = {}

    def __len__(self) -> int:
        return len(self._rows) if self._chosen is None else len(self._chosen)

    @property
    def rows(self) -> Rows:
        """The rows; copied, and kept, where they are some of many."""
        if self._chosen is None:
            return self._rows
        if self._taken is None:
            self._taken = take(self._rows, self._chosen)
        return self._taken

    @property
    def only_flows(self) -> bool:
        """Whether there are neither losses nor other events, which is so nearly always."""
        if self._only_flows is None:
            self._only_flows = not np.count_nonzero(self.column("kind"))
        return self._only_flows

    def column(self, name: str) -> NDArray[Any]:
        """One column, shape (n,): cheaper than out of `rows` where they are some of many."""
        # Rows are as long as four cache lines, and a column lies in one of them.
        column = self._rows[name]
        return column if self._chosen is None else column[self._chosen]

    def numbers(self) -> NDArray[np.int64]:
        """The number of each row: its sequence in the ring, or its index in the batch."""
        numbers = np.arange(len(self._rows)) if self._chosen is None else self._chosen
        return numbers + self.first

    def number(self, index: int) -> int:
        """The number of a row."""
        return self.first + (index if self._chosen is None else int(self._chosen[index]))

    @property
    def flows_built(self) -> int:
        """How many flows were built so far, here and in all views taken from the same one."""
        return len(self._kept) + len(self._told)

    def content(self, index: int) -> bytes:
        """The message of a row; empty if it has none, or had to make room for others."""
        number = self.number(index)
        return self._messages(number) if self._rows["message"][number - self.first] else b""

    def told(self, index: int) -> flow_pb2.Flow:
        """What a row's message says, without what the server adds: faster than `flow`.

        Not to be changed. It is empty for rows that are no flows, and without a message.
        """
        number = self.number(index)
        told = self._told.get(number)
        if told is None:
            told = self._told[number] = self._parse(number)
        return told

    def _parse(self, number: int) -> flow_pb2.Flow:
        if self._rows["kind"][number - self.first] != Kind.FLOW:
            return flow_pb2.Flow()
        try:
            return flow_pb2.Flow.FromString(self._messages(number))
        except DecodeError:
            # See `_build`.
            return flow_pb2.Flow()

    def flow(self, index: int) -> flow_pb2.Flow:
        """The whole flow of a row: microseconds, so only for rows that matter. Not to be changed.

        It is empty for rows that are no flows, and where the row's message is gone.
        """
        number = self.number(index)
        flow = self._kept.get(number)
        if flow is None:
            flow = self._kept[number] = self._build(number)
        return flow

    def _build(self, number: int) -> flow_pb2.Flow:
        # Copied first, so that all that follows is about the same bytes.
        index = number - self.first
        row = self._rows[index : index + 1].copy()[0]
        if row["kind"] != Kind.FLOW:
            return flow_pb2.Flow()
        content = self._messages(number) if row["message"] else b""
        if row["message"] and not content:
            return flow_pb2.Flow()
        try:
            return self._flows.flow(row, number if self.in_ring else None, content=content)
        except (LookupError, DecodeError):
            # Whole rows refer to what is there. This one was copied while the ring's writer was at
            # it, and who reads the ring throws such rows away.
            return flow_pb2.Flow()

    def where(self, predicate: Callable[[View], Mask]) -> tuple[NDArray[np.intp], View]:
        """The rows that pass a predicate, by index and as a view, for all who ask for equal ones.

        Args:
            predicate: one that always gives the same for the same rows; not the rows of a batch
                that hooks may change.
        """
        known = self._where.get(predicate)
        if known is None:
            which = predicate(self).nonzero()[0]
            known = self._where[predicate] = which, self.take(which)
        return known

    def take(self, which: NDArray[np.intp] | Mask) -> View:
        """A view of some of the rows, by index or mask; flows that were built are shared."""
        some = View(self._rows, self.first, self._messages, self._flows, in_ring=self.in_ring)
        if self._chosen is not None:
            some._chosen = self._chosen[which]
        else:
            some._chosen = np.arange(len(self._rows))[which]
        some._kept, some._told = self._kept, self._told
        some._only_flows = self._only_flows or None
        return some


class Views:
    """Gives views of the ring, the same one to all who look at the same rows one after the other.

    What one has found out of the rows by `View.where` the next need not.

    Args:
        messages: gives messages by sequence.
        flows: builds protobuf flows.
    """

    def __init__(self, messages: MessageSource, flows: FlowSource) -> None:
        self._messages = messages
        self._flows = flows
        self._last: View | None = None

    def of(self, first: int, rows: Rows) -> View:
        """A view of rows of the ring.

        Args:
            first: the sequence of the first row: with their number it tells them from all others.
            rows: the ring's memory.
        """
        last = self._last
        known = last is not None and last.first == first and len(last) == len(rows)
        if last is None or not known or last.flows_built > FLOWS_SHARED_MAX:
            last = self._last = View(rows, first, self._messages, self._flows)
        return last

    def forget(self) -> None:
        """Let go of what the last view holds, if that is much: nobody may look for a long time."""
        if self._last is not None and self._last.flows_built > FLOWS_SHARED_MAX:
            self._last = None
