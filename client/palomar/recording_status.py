"""The status line of `palomar record`: how a recording goes, on a terminal, drawn over and over.

In: recordings as the server tells them. Out: one line on standard error that rich draws and wipes
in the end. Where standard error is no terminal nothing is shown.
"""

import os
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from palomar.printers.escape import visible
from palomar.quantities import bytes_text, count_text, rate_text
from palomar.recording_text import lost_packets, status_text

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from palomar_proto.palomar.v1.recordings_pb2 import Recording

_REDRAWS_PER_S: Final = 4
_RATE_S: Final = 3.0
"""Over how long the rate is taken: shorter jumps about, longer lags behind."""
_SAMPLES_MAX: Final = 64
_MINUTE_S: Final = 60
_STYLES: Final = {"starting": "yellow", "armed": "yellow", "running": "green", "stopping": "yellow"}


class StatusLine:
    """How a recording goes; use it in a `with` block.

    Args:
        stream: Where to draw.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._recording: Recording | None = None
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES_MAX)
        self._began_s = time.monotonic()
        self._note = ""
        self._live: Live | None = None

    @property
    def shown(self) -> bool:
        """Whether there is anybody to see it."""
        return self._stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}

    def show(self, recording: "Recording") -> None:
        """Show a recording as it is now."""
        self._recording = recording
        now_s = time.monotonic()
        while self._samples and now_s - self._samples[0][0] > _RATE_S:
            self._samples.popleft()
        self._samples.append((now_s, recording.counts.captured.packets))

    def note(self, text: str) -> None:
        """Show something else instead; empty for the recording again."""
        self._note = text

    def downloaded(self, there_bytes: int, whole_bytes: int) -> None:
        """Show how far a download is."""
        self._note = f"downloading  {bytes_text(there_bytes)} of {bytes_text(whole_bytes)}"

    def __enter__(self) -> Self:
        if self.shown:
            from rich.console import Console  # noqa: PLC0415 - large, and only for terminals
            from rich.live import Live  # noqa: PLC0415 - likewise

            console = Console(file=self._stream, highlight=False, markup=False, emoji=False)
            self._live = Live(
                console=console,
                get_renderable=self._text,
                refresh_per_second=_REDRAWS_PER_S,
                transient=True,
                # What is written to the output is nobody's business here.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def line(self) -> str:
        """The line, as it is now."""
        if self._note:
            return self._note
        recording = self._recording
        if recording is None:
            return "starting"
        counts = recording.counts
        lost = lost_packets(counts)
        parts = [
            status_text(recording),
            visible(recording.id),
            f"{count_text(counts.captured.packets)} packets",
            bytes_text(counts.captured.bytes),
            f"{count_text(lost)} lost",
            f"{rate_text(self._rate())}/s",
            elapsed_text(time.monotonic() - self._began_s),
        ]
        return "  ".join(parts)

    def _text(self) -> "Text":
        from rich.text import Text  # noqa: PLC0415 - as above

        recording = self._recording
        style = _STYLES.get(status_text(recording), "") if recording is not None else ""
        if recording is not None and lost_packets(recording.counts):
            style = "red"
        return Text(self.line(), style=style, no_wrap=True, overflow="ellipsis")

    def _rate(self) -> float:
        """Packets a second of late."""
        if not self._samples:
            return 0.0
        (first_s, first), (_, last) = self._samples[0], self._samples[-1]
        # Up to now, so that a recording that gets nothing more comes down to zero.
        passed_s = time.monotonic() - first_s
        return (last - first) / passed_s if passed_s > 0 else 0.0


def elapsed_text(elapsed_s: float) -> str:
    """Write a time span as a clock does: `1:02:03`."""
    minutes, seconds = divmod(int(elapsed_s), _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
