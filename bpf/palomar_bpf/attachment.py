"""Puts the programs on an interface or a tracepoint and takes them off again.

In go the loaded programs and a `Link`; out comes an `Attachment`. Called by `palomar_bpf.capture`.
tcx links where the kernel has them (6.6), else clsact filters (`palomar_bpf.clsact`); both stand
beside other tools' programs, which keep running.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from palomar_bpf.bpf_call import link_create_tcx, raw_tracepoint_open
from palomar_bpf.clsact import RECORD_NAMES, TRACE_NAMES, ClsactFilters, remove_leftovers
from palomar_bpf.errors import BpfError, CaptureError

if TYPE_CHECKING:
    from palomar_bpf.clsact import FilterNames
    from palomar_bpf.links import Link

__all__ = [
    "DROP_TRACEPOINT",
    "AttachMethod",
    "Attachment",
    "Hooks",
    "RawTracepoint",
    "RecordPrograms",
    "TcPrograms",
    "attach",
    "attach_recording",
    "remove_leftovers",
]

AttachMethod = Literal["auto", "tcx", "clsact"]

DROP_TRACEPOINT = "kfree_skb"
"""The raw tracepoint that tells of every packet the kernel frees without delivering it."""


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


class RecordPrograms(TcPrograms, Protocol):
    """Those that record packets, beside those that only tell of them."""

    @property
    def record_ingress_fd(self) -> int:
        """The program for packets that come in; must return TC_ACT_UNSPEC."""

    @property
    def record_egress_fd(self) -> int:
        """The program for packets that leave; must return TC_ACT_UNSPEC."""


class _Pair(NamedTuple):
    """Programs for the two hooks of an interface."""

    ingress_fd: int
    egress_fd: int


def _put_at_ingress(prog_fd: int, ifindex: int, behind_fd: int) -> int:
    if behind_fd:
        try:
            return link_create_tcx(
                prog_fd, ifindex, egress=False, before=False, relative_fd=behind_fd
            )
        except BpfError as error:
            if error.errno != errno.ENOENT:
                raise
    return link_create_tcx(prog_fd, ifindex, egress=False, before=True)


class _TcxLinks:
    """The programs on tcx: first of all at ingress, where others may drop, and last at egress.

    The links last as long as their descriptors, so nothing survives the process, however it ends.

    Args:
        pair: The programs.
        ifindex: The interface.
        behind_fd: A program behind which the one at ingress goes if it is there; 0 for none.
    """

    def __init__(self, pair: _Pair, ifindex: int, behind_fd: int = 0) -> None:
        ingress = _put_at_ingress(pair.ingress_fd, ifindex, behind_fd)
        try:
            egress = link_create_tcx(pair.egress_fd, ifindex, egress=True, before=False)
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


def attach(
    programs: TcPrograms, link: Link, *, method: AttachMethod = "auto", mark: str = ""
) -> Attachment:
    """Put the programs on an interface.

    Args:
        programs: What to attach.
        link: Where to.
        method: "auto" takes tcx, and clsact if the kernel does not know tcx.
        mark: Of whoever attaches, for filters; see `palomar_bpf.filter_owner`. Without one, others
            take filters for leftovers.

    Raises:
        CaptureError: it did not work; nothing is left on the interface.
    """
    pair = _Pair(programs.trace_ingress_fd, programs.trace_egress_fd)
    return _attach(pair, link, method, names=TRACE_NAMES, mark=mark)


def attach_recording(
    programs: RecordPrograms, link: Link, *, method: AttachMethod = "auto", mark: str = ""
) -> Attachment:
    """Put the programs that record on an interface, behind those that tell of packets.

    So a connection is known already when its packet is recorded; but not by clsact at egress, where
    the last place is taken. Arguments and errors are those of `attach`.
    """
    pair = _Pair(programs.record_ingress_fd, programs.record_egress_fd)
    behind_fd = programs.trace_ingress_fd
    return _attach(pair, link, method, names=RECORD_NAMES, mark=mark, behind_fd=behind_fd)


def _attach(
    pair: _Pair,
    link: Link,
    method: AttachMethod,
    *,
    names: FilterNames,
    mark: str,
    behind_fd: int = 0,
) -> Attachment:
    if method != "clsact":
        try:
            return Attachment(link, "tcx", _TcxLinks(pair, link.ifindex, behind_fd))
        except BpfError as error:
            # EINVAL: the kernel does not know this type of attachment.
            if method == "tcx" or error.errno != errno.EINVAL:
                raise CaptureError(f"attaching to {link.name}: {error.strerror}") from error
    try:
        filters = ClsactFilters(
            link.ifindex,
            ingress_fd=pair.ingress_fd,
            egress_fd=pair.egress_fd,
            names=names,
            mark=mark,
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
