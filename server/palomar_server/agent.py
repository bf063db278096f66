"""The agent: reads the sources, each on a thread of its own, and feeds listeners and the pipeline.

In go sources; out go their batches, to every listener as they are and into the pipeline, one after
the other under one lock, so that the pipeline has one writer whatever the number of sources. What
the context says of this node's endpoints comes out as notices beside them (`agent_notice`).

Sources that can rest do so while nobody wants events: whoever does says so with `Agent.acquire`,
and listeners do it by being there.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.errors import CaptureError
from palomar_server.agent_notice import AgentNotices
from palomar_server.event_file import EventFileError
from palomar_server.source import END, Attentive, Pausable
from palomar_server.surroundings import ContextError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from palomar_server.event_file import EventFileWriter
    from palomar_server.pipeline import Pipeline
    from palomar_server.ring import Ring
    from palomar_server.source import Source
    from palomar_server.surroundings import Context, Surroundings

log = structlog.get_logger(__name__)

_EXPECTED = (CaptureError, ContextError, EventFileError)
"""Errors whose text says it all; anything else shows its traceback."""


class Listener(Protocol):
    """Wants payloads as they come from the sources, before any hook."""

    def on_batch(self, batch: PayloadBatch) -> None:
        """Take a batch, and its losses.

        Called on the agent's threads, one call at a time. It must not wait for anything, since the
        observer and all other listeners wait for it; what it cannot take it counts. The batch is
        everybody's: nobody changes it, and it may be kept. A listener that raises is removed.
        """


class Agent:
    """Reads sources from `start` to `stop`.

    Args:
        sources: by a name for the log, what yields batches and context.
        surroundings: takes in the context.
        pipeline: takes in the batches.
        ring: tells how far back flows reach.
        on_end: called on the agent's thread when the last source has ended, with the error if that
            one failed. Of those before it the log tells.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        surroundings: Surroundings,
        pipeline: Pipeline,
        ring: Ring,
        *,
        on_end: Callable[[Exception | None], None] = lambda _: None,
    ) -> None:
        self._sources = dict(sources)
        self._surroundings = surroundings
        self._pipeline = pipeline
        self._ring = ring
        self._event_file: EventFileWriter | None = None
        self._context_changed: tuple[Callable[[], None], ...] = ()
        self._on_end = on_end
        self._notices = AgentNotices()
        self._told_stopped = False
        self._stopping = threading.Event()
        self._feeding = threading.Lock()
        """Held while an item is taken: one writer for surroundings, pipeline and event file."""
        self._registering = threading.Lock()
        """Held while consumers, listeners or running sources change; never for long."""
        self._consumers = 0
        self._waiters = 0
        self._listeners: tuple[Listener, ...] = ()
        self._running = len(self._sources)
        self._threads = [
            threading.Thread(
                target=self._run, args=(name, source), name=f"palomar-agent-{name}", daemon=True
            )
            for name, source in self._sources.items()
        ]

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop reading and wait for the threads. Sources stay open for their owner to close."""
        self._stopping.set()
        self._wake()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def acquire(self, *, waits: bool = True) -> None:
        """Note that one more consumer wants events. From any thread, and at once.

        With the first one, sources that rest are resumed by their own threads.

        Args:
            waits: whether it waits for each event, and so would notice if they gathered for long.
                One that does not is there to stay.
        """
        with self._registering:
            self._consumers += 1
            first = self._consumers == 1
            self._wait_by(int(waits))
        if first:
            self._wake()

    def release(self) -> None:
        """Note that a consumer that waited went; with the last one, sources that can do so rest."""
        with self._registering:
            self._consumers -= 1
            last = self._consumers == 0
            self._wait_by(-1)
        if last:
            self._wake()

    def _wait_by(self, change: int) -> None:
        """Count who waits, and tell the sources with the first and the last. Holds the lock."""
        before, self._waiters = self._waiters > 0, self._waiters + change
        if (watched := self._waiters > 0) != before:
            for source in self._sources.values():
                if isinstance(source, Attentive):
                    source.attend(watched=watched)

    def add_listener(self, listener: Listener) -> None:
        """Give all batches from now on to a listener, which counts as a consumer. Any thread."""
        with self._registering:
            self._listeners = (*self._listeners, listener)
        self.acquire()

    def remove_listener(self, listener: Listener) -> None:
        """Give no more batches to a listener; one under way may still come. From any thread.

        One that is not there, as it was removed for an error, is no error.
        """
        with self._registering:
            left = tuple(one for one in self._listeners if one is not listener)
            found = len(left) < len(self._listeners)
            self._listeners = left
        if found:
            self.release()

    def record(self, event_file: EventFileWriter) -> None:
        """Write everything from now on to a file, which counts as a consumer. From any thread."""
        with self._feeding:
            self._event_file = event_file
        self.acquire(waits=False)

    def take(self, item: PayloadBatch | Context) -> None:
        """Take a batch or context as if a source had yielded it. From any thread.

        Raises:
            ContextError: a context object is not understood.
        """
        with self._feeding:
            if isinstance(item, PayloadBatch):
                self._take_batch(item)
            else:
                self._take_context(item)

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Keep all sources' items waiting for as long as it is entered: for some milliseconds.

        Whoever decodes payloads of its own, or goes through the surroundings, does it in here.
        """
        with self._feeding:
            yield

    def on_context(self, changed: Callable[[], None]) -> None:
        """Have something called whenever context was taken in. From any thread.

        It is called on the agent's threads, which are not to wait, and must not enter `apart`.
        """
        with self._feeding:
            self._context_changed = (*self._context_changed, changed)

    def _wake(self) -> None:
        for source in self._sources.values():
            source.wake()

    def _run(self, name: str, source: Source) -> None:
        error: Exception | None = None
        try:
            self._read(name, source)
        except _EXPECTED as failure:
            error = failure
        except Exception as failure:  # the thread's border: the daemon ends with its last source
            log.exception("the agent failed", source=name)
            error = failure
        finally:
            self._ended(name, error)

    def _read(self, name: str, source: Source) -> None:
        """Take all items, and let the source rest while nobody wants them."""
        pausable = source if isinstance(source, Pausable) else None
        resting = False
        while not self._stopping.is_set():
            # Whoever changes the number wakes the source afterwards, so no change is overlooked.
            if pausable is not None and resting == (self._consumers > 0):
                if resting:
                    pausable.resume()
                else:
                    pausable.pause()
                resting = not resting
                log.debug("source rests" if resting else "source resumed", source=name)
            item = source.read(None)
            if item is END:
                return
            if item is not None:
                self.take(item)

    def _ended(self, name: str, error: Exception | None) -> None:
        with self._registering:
            self._running -= 1
            left = self._running
        if self._stopping.is_set():
            return
        if not left:
            self._on_end(error)
        elif error is not None:
            log.error("a source failed; the others go on", source=name, error=str(error), left=left)
        else:
            log.info("a source ended; the others go on", source=name, left=left)

    def _take_batch(self, batch: PayloadBatch) -> None:
        self._feed(batch)
        if self._event_file is not None:
            # Functions are named while decoding; a recording needs them before the batch.
            if symbols := self._surroundings.take_fresh_symbols():
                self._record(self._event_file.write_context({"symbols": symbols}))
            self._record(self._event_file.write_batch(batch))

    def _take_context(self, context: Context) -> None:
        # A payload may lie about its time, and what would last until then would go at once.
        oldest_ns = min(self._ring.oldest_time_ns, time.time_ns())
        self._surroundings.apply(context, oldest_ns)
        for changed in self._context_changed:
            changed()
        if self._event_file is not None:
            self._record(self._event_file.write_context(context))
        # Not recorded: a replay makes them of the same context.
        for batch in self._notices.of(context):
            self._feed(batch)

    def _feed(self, batch: PayloadBatch) -> None:
        for listener in self._listeners:
            try:
                listener.on_batch(batch)
            except Exception:  # one listener's fault must not end the others' events
                log.exception("a listener failed and is removed", listener=repr(listener))
                self.remove_listener(listener)
        self._pipeline.consume(batch)

    def _record(self, written: bool) -> None:  # noqa: FBT001 - the writer's answer
        """Say once that the recording has stopped: the capture goes on without it."""
        if not written and not self._told_stopped and self._event_file is not None:
            self._told_stopped = True
            log.warning("the recording of events has stopped", why=str(self._event_file.stopped))
