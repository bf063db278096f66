"""Where the command line writes: text in, bytes out, as seldom as a reader will not notice.

Used by the commands. A reader that went away (`palomar observe | head -1`) is not an error; that
is decided in `cli`.
"""

import sys
from typing import Final, TextIO

STDOUT_DESCRIPTOR: Final = 1

CLOSED: Final[set[int]] = set()
"""Descriptors of the standard streams that were closed when the process began (`>&-`), as `entry`
finds them: what is written there goes nowhere, which suits words and no file."""

_BUFFER_CHARACTERS = 32 * 1024
"""Written at once; more gains nothing measurable."""


class Output:
    """A text stream with a buffer of its own.

    Args:
        stream: Where to write.
        prompt: Whether to write each text at once: somebody watches, or waits for the next line.
    """

    def __init__(self, stream: TextIO, *, prompt: bool) -> None:
        self._stream = stream
        self._prompt = prompt or stream.isatty()
        self._pending: list[str] = []
        self._pending_characters = 0

    def write(self, text: str) -> None:
        """Write text, now or later; empty text is nothing."""
        if self._prompt:
            if text:
                self._stream.write(text)
                self._stream.flush()
            return
        self._pending.append(text)
        self._pending_characters += len(text)
        if self._pending_characters >= _BUFFER_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        pending = "".join(self._pending)
        self._pending.clear()
        self._pending_characters = 0
        self._stream.write(pending)
        self._stream.flush()


def standard_output(*, prompt: bool = False) -> Output:
    """Wrap standard output; see `Output`."""
    return Output(_forgiving(sys.stdout), prompt=prompt)


def standard_error() -> Output:
    """Wrap standard error, which is always written at once."""
    return Output(_forgiving(sys.stderr), prompt=True)


def _forgiving(stream: TextIO) -> TextIO:
    """Have characters that the locale cannot show written out instead of raising."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return stream
