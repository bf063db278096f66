"""Which flow a request wants explained."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.errors import InvalidRequest, NotFound
from palomar_server.explain.connection import connection_of_flow, connection_of_row
from palomar_server.explain.window import clamped_ns
from palomar_server.filters.compiled import CompiledFilter, FilterLimits
from palomar_server.table import Kind
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from palomar_proto.palomar.v1 import explanation_pb2
    from palomar_server.encode import FlowEncoder
    from palomar_server.explain.connection import Connection
    from palomar_server.explain.window import Window
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings

    Build: TypeAlias = Callable[[flow_pb2.FlowFilter], Sequence[Predicate]]

_SEQUENCE_BITS_LOW = 48
_VARIANT_BITS = 0x3FFF
_DROPPED = int(flow_pb2.DROPPED)


@dataclass(frozen=True, slots=True)
class Subject:
    """The flow that is explained."""

    flow: flow_pb2.Flow
    """Whole."""
    time_ns: int
    """UTC ns."""
    connection: Connection | None
    """None where it has no addresses."""
    sequence: int | None = None
    """Its place in the ring; None where it is not there."""


class Subjects:
    """Finds them.

    Args:
        encoder: made the uuids, and makes messages of rows.
        surroundings: what filters look into.
        filter_limits: what the filters of a request may cost.
        build: see `CompiledFilter`.
    """

    def __init__(
        self,
        encoder: FlowEncoder,
        surroundings: Surroundings,
        filter_limits: FilterLimits,
        build: Build | None = None,
    ) -> None:
        self._encoder = encoder
        self._surroundings = surroundings
        self._filter_limits = filter_limits
        self._build = build

    async def find(self, request: explanation_pb2.ExplainRequest, window: Window) -> Subject:
        """The flow that a request is about.

        Raises:
            InvalidRequest: it names none, or in a way that makes no sense.
            NotFound: this server does not have it, or not any more.
        """
        match request.WhichOneof("about"):
            case "uuid":
                return self._by_uuid(request.uuid, window)
            case "sequence":
                return self._at(request.sequence, window, f"sequence {request.sequence}")
            case "flow":
                return self._as_given(request.flow, window)
            case "last":
                return await self._last(request.last, window)
        raise InvalidRequest("about", "", "names no flow")

    def _by_uuid(self, text: str, window: Window) -> Subject:
        sequence = self._sequence(text)
        if sequence is None:
            raise NotFound(f"no flow of this run of palomard has the uuid {text[:64]!r}")
        return self._at(sequence, window, f"flow {text}")

    def _sequence(self, text: str) -> int | None:
        """The sequence number that a uuid of this run stands for."""
        try:
            low = uuid.UUID(text).int & (1 << 64) - 1
        except ValueError:
            raise InvalidRequest("uuid", text, "is no UUID") from None
        sequence = (low >> _SEQUENCE_BITS_LOW & _VARIANT_BITS) << _SEQUENCE_BITS_LOW
        sequence |= low & (1 << _SEQUENCE_BITS_LOW) - 1
        return sequence if self._encoder.uuid(sequence) == text.lower() else None

    def _at(self, sequence: int, window: Window, name: str) -> Subject:
        row = window.row(sequence)
        if row is None:
            raise NotFound(
                f"{name} is not in the ring, which holds {window.start} to {window.end - 1}"
            )
        if row["kind"][0] != Kind.FLOW:
            raise NotFound(f"{name} is an event that is no flow")
        content = window.message(sequence) if row["message"][0] else b""
        if row["message"][0] and not content:
            raise NotFound(f"the content of {name} had to make room for others")
        flow = self._encoder.flow(row[0], sequence, content=content)
        return Subject(flow, int(row["time_ns"][0]), connection_of_row(row), sequence)

    def _as_given(self, flow: flow_pb2.Flow, window: Window) -> Subject:
        try:
            sequence = self._sequence(flow.uuid) if flow.uuid else None
        except InvalidRequest:
            # Another server's, which may have others.
            sequence = None
        if sequence is not None and window.row(sequence) is not None:
            return self._at(sequence, window, f"flow {flow.uuid}")
        return Subject(flow, clamped_ns(flow.time), connection_of_flow(flow))

    async def _last(self, last: explanation_pb2.ExplainRequest.Last, window: Window) -> Subject:
        matching = CompiledFilter(
            last.whitelist,
            last.blacklist,
            self._surroundings,
            self._encoder,
            limits=self._filter_limits,
            build=self._build,
        )
        for first, rows in window.backwards():
            mask = rows["kind"] == Kind.FLOW
            mask &= window.in_time(rows)
            if not last.any_verdict:
                mask &= rows["verdict"] == _DROPPED
            which = mask.nonzero()[0]
            while which.size:
                # No more at once than the filters get through in a moment, newest first.
                which, some = np.split(which, [max(0, len(which) - matching.rows_at_once)])
                view = View(rows, first, window.message, self._encoder).take(some)
                found = matching.mask(view).nonzero()[0]
                for index in found[::-1].tolist():
                    sequence = view.number(index)
                    if (row := window.row(sequence)) is not None and np.array_equal(
                        row, view.rows[index : index + 1]
                    ):
                        return self._at(sequence, window, f"sequence {sequence}")
                # Streams have their turn.
                await asyncio.sleep(0)
        what = "flow" if last.any_verdict else "dropped flow"
        raise NotFound(f"no {what} in the ring passes these filters")
