"""Puts the programs on an interface or a tracepoint and takes them off again.

In go the loaded programs and a `Link`; out comes an `Attachment`. Called by `palomar_bpf.capture`.
tcx links where the kernel has them (6.6), else clsact filters (`palomar_bpf.clsact`); both stand
beside other tools' programs, which keep running.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from palomar_bpf.bpf_call import link_create_tcx, raw_tracepoint_open
from palomar_bpf.clsact import ClsactFilters, remove_leftovers
from palomar_bpf.errors import BpfError, CaptureError

if TYPE_CHECKING:
    from palomar_bpf.links import Link

__all__ = [
    "AttachMethod",
    "Attachment",
    "Hooks",
    "RawTracepoint",
    "TcPrograms",
    "attach",
    "remove_leftovers",
]

AttachMethod = Literal["auto", "tcx", "clsact"]


class TcPrograms(Protocol):
    """The part of `palomar_bpf.loader.Programs` that goes on interfaces."""

    @property
    def trace_ingress_fd(self) -> int:
        """The program for packets that come in; must return TC_ACT_UNSPEC."""

    @property
    def trace_egress_fd(self) -> int:
        """The program for packets that leave; must return TC_ACT_UNSPEC."""


class Hooks(Protocol):
    """The programs' places on one interface."""

    def remove(self) -> None:
        """Take the programs off; idempotent.

        Raises:
            OSError: the kernel refused.
        """


class _TcxLinks:
    """The programs on tcx: first of all at ingress, where others may drop, and last at egress.

    The links last as long as their descriptors, so nothing survives the process, however it ends.
    """

    def __init__(self, programs: TcPrograms, ifindex: int) -> None:
        ingress = link_create_tcx(programs.trace_ingress_fd, ifindex, egress=False, before=True)
        try:
            egress = link_create_tcx(programs.trace_egress_fd, ifindex, egress=True, before=False)
        except BpfError:
            os.close(ingress)
            raise
        self._fds = [ingress, egress]

    def remove(self) -> None:
        while self._fds:
            os.close(self._fds.pop())


@dataclass(frozen=True, slots=True)
class Attachment:
    """The programs on one interface."""

    link: Link
    method: Literal["tcx", "clsact"]
    hooks: Hooks = field(repr=False)

    def detach(self) -> None:
        """Take the programs off; idempotent, and no error if the interface is gone.

        Raises:
            CaptureError: the kernel refused.
        """
        try:
            self.hooks.remove()
        except OSError as error:
            raise CaptureError(f"detaching from {self.link.name}: {error.strerror}") from error


def attach(programs: TcPrograms, link: Link, *, method: AttachMethod = "auto") -> Attachment:
    """Put the programs on an interface.

    Args:
        programs: What to attach.
        link: Where to.
        method: "auto" takes tcx, and clsact if the kernel does not know tcx.

    Raises:
        CaptureError: it did not work; nothing is left on the interface.
    """
    if method != "clsact":
        try:
            return Attachment(link, "tcx", _TcxLinks(programs, link.ifindex))
        except BpfError as error:
            # EINVAL: the kernel does not know this type of attachment.
            if method == "tcx" or error.errno != errno.EINVAL:
                raise CaptureError(f"attaching to {link.name}: {error.strerror}") from error
    try:
        filters = ClsactFilters(
            link.ifindex,
            ingress_fd=programs.trace_ingress_fd,
            egress_fd=programs.trace_egress_fd,
        )
    except OSError as error:
        raise CaptureError(f"attaching to {link.name}: {error.strerror}") from error
    return Attachment(link, "clsact", filters)


class RawTracepoint:
    """A program's place at a raw tracepoint, empty at first.

    Args:
        name: The tracepoint's.
        prog_fd: The program; must stay open.
    """

    def __init__(self, name: str, prog_fd: int) -> None:
        self._name = name
        self._prog_fd = prog_fd
        self._fd = -1

    def attach(self) -> None:
        """Put the program there; idempotent.

        Raises:
            CaptureError: the kernel refused.
        """
        if self._fd < 0:
            self._fd = raw_tracepoint_open(self._name, self._prog_fd)

    def detach(self) -> None:
        """Take it off; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
