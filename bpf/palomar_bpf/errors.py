"""What can go wrong in the kernel half, sorted by what the caller does next.

    CaptureError            live capture cannot do what was asked; the text says what to do about it
    ├── LoadError           the programs are not in the kernel: give up, or run without live capture
    └── BpfError            the kernel refused one bpf(2) command: `errno` decides
                            (ENOENT, EEXIST, EINVAL lead to another way; everything else goes up)

Raised by the modules of this package, caught by attachment, capture and the server's source setup.
"""

from __future__ import annotations


class CaptureError(Exception):
    """Live capture cannot do what was asked of it."""


class LoadError(CaptureError):
    """The programs could not be compiled or loaded; nothing of them is left in the kernel.

    The message is one line: what is wrong, with the decisive line of what the compiler or the
    kernel's verifier said, or what to do next. `log` is all they printed, empty where they were
    never reached.
    """

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class BpfError(CaptureError, OSError):
    """The kernel refused a bpf(2) command: `errno` is its answer, `strerror` names the command."""
