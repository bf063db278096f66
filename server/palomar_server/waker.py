"""Wakes coroutines when another thread has written to the ring."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Waker:
    """Lets coroutines of one loop wait for news from one other thread.

    A notification with nobody waiting costs the writer one attribute look-up; many notifications
    before the loop gets its turn are one wake-up.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: set[asyncio.Future[None]] = set()
        self._wanted = False

    def notify(self) -> None:
        """Wake everyone who waits. For the writer's thread."""
        if self._wanted:
            self._wanted = False
            try:
                self._loop.call_soon_threadsafe(self.wake)
            except RuntimeError:
                # The loop has closed while the writer had a last batch: nobody waits any more.
                return

    def wake(self) -> None:
        """The same at once. For the loop's thread."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, news: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Return when `news()` is true, a notification came, or the time is over.

        Other coroutines get their turn in any case: a writer that always has news must not keep the
        loop with one reader.

        Args:
            news: asked once after registering, so that no notification can fall in between.
            timeout_s: how long to wait at most, seconds; None waits for ever.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(future)
        self._wanted = True
        try:
            if news():
                await asyncio.sleep(0)
            else:
                await (future if timeout_s is None else asyncio.wait((future,), timeout=timeout_s))
        finally:
            self._waiting.discard(future)
