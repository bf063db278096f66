"""The agent: reads a source on a thread of its own and feeds the pipeline."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.errors import CaptureError
from palomar_server.event_file import EventFileError
from palomar_server.source import END
from palomar_server.surroundings import ContextError

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.event_file import EventFileWriter
    from palomar_server.pipeline import Pipeline
    from palomar_server.ring import Ring
    from palomar_server.source import Source
    from palomar_server.surroundings import Surroundings

log = structlog.get_logger(__name__)


class Agent:
    """Owns a source from `start` to `stop`.

    Args:
        source: yields batches and context.
        surroundings: takes in the context.
        pipeline: takes in the batches.
        ring: tells how far back flows reach.
        event_file: where to record everything the source yields.
        on_end: called on the agent's thread when the source has ended, with the error if there was
            one.
    """

    def __init__(
        self,
        source: Source,
        surroundings: Surroundings,
        pipeline: Pipeline,
        ring: Ring,
        *,
        event_file: EventFileWriter | None = None,
        on_end: Callable[[Exception | None], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._surroundings = surroundings
        self._pipeline = pipeline
        self._ring = ring
        self._event_file = event_file
        self._on_end = on_end
        self._told_stopped = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="palomar-agent", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and wait for the thread. The source stays open for its owner to close."""
        self._stopping.set()
        self._source.wake()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        error: Exception | None = None
        try:
            while not self._stopping.is_set() and self._step():
                pass
        except (CaptureError, ContextError, EventFileError) as failure:
            error = failure
        except Exception as failure:  # the thread's border: the daemon ends with it
            log.exception("the agent failed")
            error = failure
        finally:
            if not self._stopping.is_set():
                self._on_end(error)

    def _step(self) -> bool:
        """Take one item; False when the source has ended."""
        item = self._source.read(None)
        if item is END:
            return False
        if isinstance(item, PayloadBatch):
            self._pipeline.consume(item)
            if self._event_file is not None:
                # Functions are named while decoding; a recording needs them before the batch.
                if symbols := self._surroundings.take_fresh_symbols():
                    self._record(self._event_file.write_context({"symbols": symbols}))
                self._record(self._event_file.write_batch(item))
        elif item is not None:
            self._surroundings.apply(item, self._ring.oldest_time_ns)
            if self._event_file is not None:
                self._record(self._event_file.write_context(item))
        return True

    def _record(self, written: bool) -> None:  # noqa: FBT001 - the writer's answer
        """Say once that the recording has stopped: the capture goes on without it."""
        if not written and not self._told_stopped and self._event_file is not None:
            self._told_stopped = True
            log.warning("the recording of events has stopped", why=str(self._event_file.stopped))
