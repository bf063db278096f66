"""Ctrl-C for what should end in order: the first asks, the second insists.

`Interrupts` stands in for Python's own handling of SIGINT and SIGTERM, and of SIGHUP as a terminal
that closes sends it, while a recording runs: the first of them begins the end, on a thread of its
own so that reading goes on, and the second raises KeyboardInterrupt wherever the program is.

`leaving_in_order` is for what any of them ends at once.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self


@contextmanager
def leaving_in_order() -> Iterator[None]:
    """Have SIGTERM and SIGHUP leave the block as Ctrl-C does, and only then end the process.

    By themselves they leave a terminal without its cursor, and files that were to be temporary.
    """
    caught: list[int] = []

    def catch(number: int, frame: FrameType | None) -> None:
        del frame
        caught.append(number)
        raise KeyboardInterrupt

    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, catch)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        if caught:
            signal.raise_signal(caught[0])


class Interrupts:
    """Catches signals; use it in a `with` block, on the main thread.

    Args:
        begin_end: Called once, on another thread; must not raise.

    Attributes:
        seen: Whether there was one.
    """

    def __init__(self, begin_end: Callable[[], None]) -> None:
        self._begin_end = begin_end
        self._before: dict[signal.Signals, Any] = {}
        self._thread: threading.Thread | None = None
        self.seen = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Whoever started us with it ignored, as a shell does with `&`, means Ctrl-C for others.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True
        # A daemon: whoever insists does not wait for it either.
        self._thread = threading.Thread(target=self._begin_end, name="interrupt", daemon=True)
        self._thread.start()
