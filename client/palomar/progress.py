"""How far a long look-back is, on a terminal, without a line left behind.

`Remarks` writes to standard error what is not output: notes and errors that stay, and below them,
while nothing else is to be seen, one line of progress that is drawn over and wiped in the end. A
thread of its own draws it, so that reading flows costs no clock. Used by `observation`.
"""

import threading
import time
from types import TracebackType
from typing import Self, TextIO

from palomar.output import Output

_DELAY_S = 0.5
"""Before the first line: what takes less needs no comfort."""

_INTERVAL_S = 0.2
_WIPE = "\r\x1b[K"


class Remarks:
    """Standard error of one run; use it in a `with` block.

    Args:
        output: Where to write.
        stream: The stream behind it.
        watch: Whether to show progress; it is shown on terminals only.
        flows_max: How many flows can come at most; 0 if nobody knows.

    Attributes:
        flows: How many flows have come so far; the reader counts it up.
    """

    def __init__(self, output: Output, stream: TextIO, *, watch: bool, flows_max: int = 0) -> None:
        self._output = output
        self._flows_max = flows_max
        self._stream = stream
        self._watch = watch and stream.isatty()
        self._lock = threading.Lock()
        self._drawn = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._started_s = 0.0
        self.flows = 0

    def write(self, text: str) -> None:
        """Write lines that stay; the progress moves below them."""
        if not text:
            return
        with self._lock:
            self._wipe()
            self._output.write(text)

    def stop(self) -> None:
        """Show no progress from here on: what comes is to be seen itself."""
        if self._watch:
            self._watch = False
            self._over.set()
            with self._lock:
                self._wipe()

    def __enter__(self) -> Self:
        if self._watch:
            self._started_s = time.monotonic()
            self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _draw(self) -> None:
        wait_s = _DELAY_S
        while not self._over.wait(wait_s):
            wait_s = _INTERVAL_S
            with self._lock:
                if self._over.is_set():
                    return
                self._stream.write(f"{_WIPE}{self.line(time.monotonic() - self._started_s)}")
                self._stream.flush()
                self._drawn = True

    def line(self, elapsed_s: float) -> str:
        """Say how far the run is.

        Args:
            elapsed_s: Seconds since its start.
        """
        if not self.flows:
            return f"no flow so far, after {elapsed_s:.0f} s"
        of = f" of at most {self._flows_max:,}" if self._flows_max else ""
        return f"{self.flows:,}{of} flows in {elapsed_s:.0f} s"

    def _wipe(self) -> None:
        if self._drawn:
            self._drawn = False
            self._stream.write(_WIPE)
            self._stream.flush()
