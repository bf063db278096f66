"""The palomar.v1.FlowBatches service: flows as GetFlows selects them, many at a time.

What is selected, waited for and lost is decided by the same reading as for GetFlows. Here each
portion of it becomes a batch with its positions, what is missing, and the token to go on with.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1 import flow_batches_pb2
from palomar_server.errors import InvalidRequest
from palomar_server.flow_batch import flows_behind, frame, joined, losses, pieces
from palomar_server.peer import OWN
from palomar_server.resume_token import NO_LIMIT, ResumeToken, filters_digest, node_digest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from palomar_server.encode import FlowEncoder
    from palomar_server.flow_delivery import FlowDelivery
    from palomar_server.observer import Observer
    from palomar_server.peer import Peer
    from palomar_server.reading import Portion, Reading
    from palomar_server.ring import Ring
    from palomar_server.waker import Waker

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The server's bounds of what a request may want of its batches."""

    responses_max: int = 4_096
    """Responses in one batch: what a client holds at once."""
    bytes_max: int = 1 << 20
    """Bytes of responses in one batch: a quarter of what gRPC's clients take by default."""
    delay_max_s: float = 1.0
    """Seconds that a request may have events held back: longer ones would leave them in a ring
    that a busy node overwrites within a second."""
    position_interval_s: float = 10.0
    """How often a stream whose filters let nothing through still says how far it has looked, in
    seconds: whoever resumes it loses only what nobody looked at. A thousand such streams so take
    less than a hundredth of a core."""


class FlowBatches:
    """Answers GetFlowBatches from the ring.

    Args:
        observer: opens the streams, as for GetFlows.
        ring: the events.
        encoder: the node's name and run.
        waker: tells of new events.
        node_name: what the daemon was started as, cluster/node: a token of another is refused. Not
            the name that flows have, which may only be learnt from their source.
        limits: bounds of what requests may want.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        observer: Observer,
        ring: Ring,
        encoder: FlowEncoder,
        waker: Waker,
        *,
        node_name: str,
        limits: BatchLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observer = observer
        self._ring = ring
        self._encoder = encoder
        self._waker = waker
        self._node = node_digest(node_name)
        self._limits = limits or BatchLimits()
        self._clock = clock

    async def get_flow_batches(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer = OWN
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve GetFlowBatches; whoever does not read to the end closes the generator.

        Yields:
            Serialised FlowBatch messages, one at a time.

        Raises:
            RequestError: before the first batch, where the request cannot be served.
            Stopping: while following, when the server ends.
        """
        options = _options(request)
        start = self._start(request, options.resume_token)
        resumed = bool(options.resume_token)
        restarted = resumed and start.run_id != self._encoder.run_id
        if resumed:
            request = _resuming(request, start)
        batching = _Batching(self._encoder, start, options, self._limits, restarted=restarted)
        if resumed and not start.left and not request.follow:
            # Everything that was counted has been given before.
            yield [batching.last(self._ring.oldest)]
            return
        position = (self._ring.oldest if restarted else start.sequence) if resumed else None
        with self._observer.open_flows(
            request, peer, position=position, lost_interval_ns=0
        ) as delivery:
            async for batch in self._batches(delivery, batching):
                yield [batch]

    async def _batches(
        self, delivery: FlowDelivery, batching: _Batching
    ) -> AsyncGenerator[bytes, None]:
        reading = delivery.reading
        while not reading.done:
            portion = reading.read()
            if portion is not None:
                if batching.delay_max_s > 0:
                    portion = await _filled(portion, reading, batching)
                for batch in batching.of(delivery, portion, caught_up=reading.caught_up):
                    yield batch
            if not reading.caught_up:
                await asyncio.sleep(0)
            elif not reading.done:
                if not batching.told_end:
                    yield batching.standing(reading, self._ring.oldest)
                told_s = self._clock()
                await self._wait(reading, batching)
                waited = self._clock() - told_s >= self._limits.position_interval_s
                if waited and reading.position > batching.position:
                    yield batching.standing(reading, self._ring.oldest)

    async def _wait(self, reading: Reading, batching: _Batching) -> None:
        """Wait for something to send, then for its company; or to say how far nothing was found."""
        await reading.wait(self._limits.position_interval_s)
        left_s = batching.delay_max_s
        until_s = self._clock() + left_s
        while left_s > 0 and self._ring.next - reading.position < batching.responses_max:
            await self._waker.wait(lambda: self._observer.streams.stopping, left_s)
            if self._observer.streams.stopping:
                return
            left_s = until_s - self._clock()

    def _start(self, request: observer_pb2.GetFlowsRequest, token: bytes) -> ResumeToken:
        """Where to start: the client's token, or one that stands for the request itself.

        Raises:
            InvalidRequest: the token is none, or belongs to another node or request.
        """
        filters = filters_digest(request.whitelist, request.blacklist)
        if not token:
            since_ns = request.since.seconds * _NS_PER_S + request.since.nanos
            return ResumeToken(
                self._encoder.run_id,
                self._node,
                0,
                NO_LIMIT if request.follow or not request.number else request.number,
                min(max(since_ns, 0), (1 << 64) - 1),
                filters,
            )
        start = ResumeToken.from_bytes(token)
        if start.filters != filters:
            rule = "belongs to a request with other filters; send the same ones, in the same order"
            raise InvalidRequest("resume_token", token, rule)
        if start.node != self._node:
            raise InvalidRequest("resume_token", token, "belongs to another node")
        if start.run_id == self._encoder.run_id and start.sequence > (end := self._ring.next):
            rule = f"goes on at {start.sequence}, and the newest event so far is {end - 1}"
            raise InvalidRequest("resume_token", token, rule)
        return start


class _Batching:
    """Makes the batches of one stream, and knows what they have told.

    Args:
        encoder: the node's name and run.
        start: where the stream started.
        options: what the request wants.
        limits: the server's bounds.
        restarted: whether the token is of an earlier run.
    """

    def __init__(
        self,
        encoder: FlowEncoder,
        start: ResumeToken,
        options: flow_batches_pb2.BatchOptions,
        limits: BatchLimits,
        *,
        restarted: bool,
    ) -> None:
        self._encoder = encoder
        self._start = start
        self._restarted = restarted
        self.responses_max = min(
            options.responses_max or limits.responses_max, limits.responses_max
        )
        self.bytes_max = min(options.bytes_max or limits.bytes_max, limits.bytes_max)
        delay_s = options.delay_max.seconds + options.delay_max.nanos / _NS_PER_S
        self.delay_max_s = min(delay_s, limits.delay_max_s)
        """How long events may be held back, seconds."""
        self.position = 0
        """The next sequence to be looked at, as last told."""
        self.told_end = False
        """Whether the last batch said that nothing further was there."""

    def of(self, delivery: FlowDelivery, portion: Portion, *, caught_up: bool) -> Iterator[bytes]:
        """The batches of a portion, at least one."""
        passed = delivery.passed(portion)
        responses = delivery.encoded(passed, wrapped=True)
        left = delivery.reading.left
        for rows in pieces(responses, self.responses_max, self.bytes_max):
            sequences = passed.sequences[rows]
            whole = rows.stop == len(responses)
            position = portion.position if whole else sequences[-1] + 1
            still = left
            if left is not None and not whole:
                still = left + flows_behind(portion, sequences[-1])
            self.told_end = whole and (caught_up or portion.complete)
            yield frame(responses[rows], sequences) + self._rest(
                flow_batches_pb2.Completeness(
                    oldest_sequence=portion.oldest,
                    next_sequence=position,
                    losses=losses(passed, rows),
                    end_reached=self.told_end,
                ),
                still,
            )

    def standing(self, reading: Reading, oldest: int) -> bytes:
        """A batch without responses: how far the stream has got."""
        self.told_end = True
        return self._rest(
            flow_batches_pb2.Completeness(
                oldest_sequence=oldest, next_sequence=reading.position, end_reached=True
            ),
            reading.left,
        )

    def last(self, oldest: int) -> bytes:
        """The batch of a stream that resumes behind its own end."""
        position = oldest if self._restarted else self._start.sequence
        return self._rest(
            flow_batches_pb2.Completeness(
                oldest_sequence=oldest, next_sequence=position, end_reached=True
            ),
            0,
        )

    def _rest(self, completeness: flow_batches_pb2.Completeness, left: int | None) -> bytes:
        """The fields behind the responses and their sequences."""
        completeness.restarted, self._restarted = self._restarted, False
        self.position = completeness.next_sequence
        run_id = self._encoder.run_id
        token = ResumeToken(
            run_id,
            self._start.node,
            self.position,
            NO_LIMIT if left is None else left,
            self._start.since_ns,
            self._start.filters,
        )
        return flow_batches_pb2.FlowBatch(
            run_id=run_id,
            node_name=self._encoder.node_name,
            completeness=completeness,
            resume_token=token.to_bytes(),
        ).SerializeToString()


async def _filled(portion: Portion, reading: Reading, batching: _Batching) -> Portion:
    """A portion with those that follow it at once, until it makes a full batch."""
    while (
        not (reading.caught_up or reading.done)
        and len(portion.sequences) < batching.responses_max
        # Of messages the responses mostly consist; a ring may hold far more of them than a batch.
        and sum(map(len, portion.messages.values())) < batching.bytes_max
    ):
        await asyncio.sleep(0)
        more = reading.read()
        if more is not None:
            portion = joined(portion, more)
    return portion


def _options(request: observer_pb2.GetFlowsRequest) -> flow_batches_pb2.BatchOptions:
    """What a request wants of its batches.

    Raises:
        InvalidRequest: its extension is something else, or cannot be read.
    """
    options = flow_batches_pb2.BatchOptions()
    if not request.HasField("extensions"):
        return options
    extension = request.extensions
    try:
        if not extension.Unpack(options):
            name = options.DESCRIPTOR.full_name
            raise InvalidRequest("extensions", extension.type_url, f"is not {name}")
    except DecodeError as error:
        raise InvalidRequest("extensions", extension.value, "cannot be read") from error
    if options.delay_max.seconds < 0 or options.delay_max.nanos < 0:
        delay_s = options.delay_max.seconds + options.delay_max.nanos / _NS_PER_S
        raise InvalidRequest("delay_max", delay_s, "must not be negative")
    return options


def _resuming(
    request: observer_pb2.GetFlowsRequest, start: ResumeToken
) -> observer_pb2.GetFlowsRequest:
    """The request with what the token says of it in place of its own."""
    resuming = observer_pb2.GetFlowsRequest()
    resuming.CopyFrom(request)
    resuming.first = False
    resuming.number = 0 if start.left == NO_LIMIT else start.left
    resuming.ClearField("since")
    if start.since_ns:
        resuming.since.seconds, resuming.since.nanos = divmod(start.since_ns, _NS_PER_S)
    return resuming
