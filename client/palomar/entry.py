"""The console script `palomar`: how a process of the tool starts and ends.

Loading takes most of a short run, so Ctrl-C has to be expected during it, what no command needs is
not loaded (`palomar.grpc_import`), and objects that will all stay are not looked through for
garbage. At the end the process leaves at once, since taking modules apart takes another 20 ms:
whoever has something to do at the end does it in a `with` block, not by `atexit`.

Only the tool starts here; the library leaves all this to its user.
"""

import contextlib
import gc
import os
import sys
from typing import NoReturn

_GARBAGE_THRESHOLD = 50_000
"""Objects made and not yet gone before garbage is looked for: above what loading makes. Printing
flows makes no cycles, so that memory stays as it is."""


def main() -> NoReturn:
    """Run the command line; the installer's script and `python -m palomar` call this."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    try:
        _fill_closed_streams()
        from palomar.grpc_import import defer_asyncio  # noqa: PLC0415 - within the try

        defer_asyncio()
        from palomar.cli import main as run  # noqa: PLC0415 - likewise

        run()
    except KeyboardInterrupt:
        # While loading: commands themselves end in order.
        _leave(0)
    except RuntimeError as error:
        # Which Python 3.11 makes of what interrupts a class being made.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        _leave(0)
    except SystemExit as end:
        _leave(_exit_code(end))
    _leave(0)


def _fill_closed_streams() -> None:
    """Where a standard stream is closed (`2>&-`), write to nowhere.

    Else the next file or socket that is opened would take its place, and be written to.
    """
    from palomar.output import CLOSED  # noqa: PLC0415 - within the try

    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest descriptor that is free
            CLOSED.add(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115 - for good
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8")  # noqa: SIM115 - likewise


def _exit_code(end: SystemExit) -> int:
    """The code, as Python has it: a text is an error to print."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            # Nobody is left to tell: what can be said of the output was said by the command.
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)
