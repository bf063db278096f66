"""What this machine can and cannot do for live capture.

In goes nothing; out come findings with what to do about each. Called by the daemon's `check`
command and when live capture fails to start. Works for any user and never raises: what cannot be
found out is a finding.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from palomar_bpf.btf import LIBRARY, VMLINUX, KernelBtf
from palomar_bpf.errors import CaptureError, LoadError
from palomar_bpf.loader import ProgramOptions, load_programs
from palomar_bpf.symbols import KALLSYMS, KernelSymbols
from palomar_bpf.toolchain import BCC_REMEDY, find_bcc, find_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KERNEL_MIN = (5, 10)
"""The oldest kernel the programs are written for: all helpers they use are in 5.8."""

_CAP_NET_BROADCAST = 11
_CAP_NET_ADMIN = 12
_CAP_SYS_ADMIN = 21
_CAP_PERFMON = 38
_CAP_BPF = 39
_STATUS = Path("/proc/self/status")
_SYMBOLS_REMEDY = "grant CAP_SYSLOG, and have sysctl kernel.kptr_restrict at most 1"

_ARGUMENTS_WITH_LOCATION = 2
_ARGUMENTS_WITH_REASON = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """Short and stable, such as "btf"."""
    ok: bool
    detail: str
    """What was found, one line."""
    remedy: str = ""
    """What to do about it where it is not ok."""
    needed: bool = True
    """Whether live capture is impossible without it."""


def check_machine(*, try_load: bool = False) -> list[Finding]:
    """Look at everything live capture depends on.

    `try_load` also compiles and loads the programs (about a second, needs privileges); it attaches
    nothing.
    """
    findings = [
        _check("kernel", _kernel, remedy="run Linux 5.10 or newer"),
        _check("btf", _btf, remedy="run a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
        _check("libbpf", _libbpf, remedy=f"install {LIBRARY} (Debian: apt install libbpf1)"),
        _check("bcc", _bcc, remedy=BCC_REMEDY),
        _check("headers", _headers),
        _check("privileges", _privileges, remedy="run as root or grant the capabilities"),
        _check("symbols", _symbols, remedy=_SYMBOLS_REMEDY, needed=False),
        _check("drops", _drops, remedy="run Linux 5.17 or newer for reasons", needed=False),
        _check("attachment", _attachment, needed=False),
    ]
    if try_load:
        findings.append(_check("load", _load))
    return findings


def missing(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that make live capture impossible, in order."""
    return [finding for finding in findings if finding.needed and not finding.ok]


def _check(
    name: str, look: Callable[[], tuple[bool, str]], *, remedy: str = "", needed: bool = True
) -> Finding:
    """Make a finding of what `look` says or raises."""
    try:
        ok, detail = look()
    except (CaptureError, OSError, LookupError, ValueError) as error:
        ok, detail = False, str(error)
    return Finding(name, ok, detail, "" if ok else remedy, needed)


def _kernel() -> tuple[bool, str]:
    release = platform.release()
    numbers = re.match(r"(\d+)\.(\d+)", release)
    known = platform.system() == "Linux" and numbers is not None
    new_enough = numbers is not None and (int(numbers[1]), int(numbers[2])) >= KERNEL_MIN
    return known and new_enough, f"{platform.system()} {release} on {platform.machine()}"


def _btf() -> tuple[bool, str]:
    return VMLINUX.is_file() and os.access(VMLINUX, os.R_OK), str(VMLINUX)


def _libbpf() -> tuple[bool, str]:
    with KernelBtf():
        return True, LIBRARY


def _bcc() -> tuple[bool, str]:
    folder = find_bcc()
    return folder is not None, "no Python module bcc" if folder is None else f"{folder}/bcc"


def _headers() -> tuple[bool, str]:
    return True, str(find_headers().asm.parent)


def _privileges() -> tuple[bool, str]:
    line = re.search(r"^CapEff:\s*([0-9a-f]+)$", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    held = int(line[1], 16) if line else 0
    needed = {"CAP_NET_ADMIN": _CAP_NET_ADMIN}
    if not held >> _CAP_SYS_ADMIN & 1:
        needed |= {"CAP_BPF": _CAP_BPF, "CAP_PERFMON": _CAP_PERFMON}
    # Not for the programs, but for whoever names what they see: notices of other namespaces.
    needed["CAP_NET_BROADCAST"] = _CAP_NET_BROADCAST
    lacks = [name for name, bit in needed.items() if not held >> bit & 1]
    return not lacks, f"lacks {', '.join(lacks)}" if lacks else "sufficient capabilities"


def _symbols() -> tuple[bool, str]:
    functions = len(KernelSymbols())
    if not functions:
        return False, f"{KALLSYMS} hides addresses: drops do not tell the kernel function"
    return True, f"{functions} kernel functions"


def _drops() -> tuple[bool, str]:
    with KernelBtf() as btf:
        arguments = btf.tracepoint_arguments("kfree_skb")
    if arguments < _ARGUMENTS_WITH_LOCATION:
        return False, "the kernel has no tracepoint kfree_skb"
    if arguments < _ARGUMENTS_WITH_REASON:
        return False, "kfree_skb tells where packets are dropped, not why"
    return True, "kfree_skb tells where and why packets are dropped"


def _attachment() -> tuple[bool, str]:
    with KernelBtf() as btf:
        tcx = "BPF_TCX_INGRESS" in btf.enum("bpf_attach_type")
    return True, "tcx links" if tcx else "clsact filters (tcx links need Linux 6.6)"


def _load() -> tuple[bool, str]:
    options = ProgramOptions(host_netns=Path("/proc/self/ns/net").stat().st_ino)
    try:
        with KernelBtf() as btf, load_programs(options, btf):
            return True, "the programs compile and load"
    except LoadError as error:
        return False, str(error)
