"""Compiles the programs and brings them into the kernel, in a child process.

In go `ProgramOptions` and the kernel's BTF; out come file descriptors of programs and maps that are
attached to nothing yet. Called by capture and check. The compiler (bcc with LLVM, over 100 MB)
lives only in a child, `python -m palomar_bpf.loader`, which hands the descriptors over and is gone:
the daemon never maps it. Nothing is pinned, so nothing outlives the descriptors.

The exchange over the inherited socket is one message each way: source text, flags and folder as
JSON to the child; back `{"names": [...]}` with as many descriptors, or `{"error": "..."}`. What
compiler and verifier print goes to the child's standard error, which is kept as the log.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from palomar_bpf.errors import LoadError
from palomar_bpf.macros import macros
from palomar_bpf.options import ProgramOptions
from palomar_bpf.toolchain import BCC_REMEDY, find_bcc, find_headers, write_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palomar_bpf.btf import KernelBtf

__all__ = ["ProgramOptions", "Programs", "load_programs", "source", "verdict"]

LOAD_TIMEOUT_S = 60
"""Longest time a load may take; it takes about one second, on a busy small machine perhaps ten."""

_SOURCES = (
    *("event.h", "memory.h", "ratelimit.h", "packet.h", "connection.h"),
    *("trace.c", "drop.c"),
    *("rules.h", "record.c"),
)
"""In order of use. bcc rewrites map operations in one text only: they are joined, not included."""
_TC_PROGRAMS = ("trace_ingress", "trace_egress", "record_ingress", "record_egress")
_TRACEPOINT_PROGRAMS = ("drop", "record_drop")
_MAPS = (
    *("events", "interfaces", "namespaces", "ignored_reasons", "connections", "counters"),
    *("recorded", "record_plans", "rule_numbers", "rule_networks", "record_losses"),
    "record_siblings",
)
_NAMES = (*_TC_PROGRAMS, *_TRACEPOINT_PROGRAMS, *_MAPS)
"""What the child hands over, in this order."""

_MESSAGE_BYTES_MAX = 1 << 17
"""Bound of one message of the exchange; the request is the source text, about 60 kB."""
_LOG_BYTES_MAX = 1 << 16
"""How much of the end of the log is kept; the verifier's verdict is at its end."""
_NO_VERDICT = re.compile(r"processed \d+ insns|verification time|stack depth|\d+ errors? generated")
"""Lines at the end of a log that only sum up."""
_VERDICT_CHARACTERS_MAX = 200
_EXIT_S = 5
"""How long a child that has said nothing may take to end by itself and tell its status."""


@dataclass(slots=True)
class Programs:
    """Descriptors of what was loaded, owned by whoever asked for it; a context manager."""

    trace_ingress_fd: int
    trace_egress_fd: int
    drop_fd: int
    record_ingress_fd: int
    record_egress_fd: int
    record_drop_fd: int
    maps: Mapping[str, int]
    """Map name -> descriptor: events, interfaces, namespaces, ignored_reasons, connections,
    counters (structs in programs/event.h, connection.h and ratelimit.h); recorded, record_plans,
    rule_numbers, rule_networks, record_losses, record_siblings (rules.h)."""
    _closed: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors; what is not attached leaves the kernel. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        programs = (getattr(self, f"{name}_fd") for name in (*_TC_PROGRAMS, *_TRACEPOINT_PROGRAMS))
        for fd in (*programs, *self.maps.values()):
            os.close(fd)


def load_programs(options: ProgramOptions, btf: KernelBtf) -> Programs:
    """Compile and load the programs; blocks for about a second, at most `LOAD_TIMEOUT_S`.

    Raises:
        LoadError: something is missing or was refused; nothing is left behind.
    """
    flags = [f"-D{name}={value}" for name, value in macros(options, btf).items()]
    headers = find_headers()
    with (
        tempfile.TemporaryDirectory(prefix="palomar-") as tree,
        tempfile.TemporaryFile(prefix="palomar-log-") as log,
    ):
        write_tree(headers, Path(tree))
        fds = _run_child({"source": source(), "flags": flags, "tree": tree}, log)
    by_name = dict(zip(_NAMES, fds, strict=True))
    return Programs(
        trace_ingress_fd=by_name["trace_ingress"],
        trace_egress_fd=by_name["trace_egress"],
        drop_fd=by_name["drop"],
        record_ingress_fd=by_name["record_ingress"],
        record_egress_fd=by_name["record_egress"],
        record_drop_fd=by_name["record_drop"],
        maps={name: by_name[name] for name in _MAPS},
    )


def source() -> str:
    """The text of all programs as it goes to the compiler, with marks for its messages."""
    folder = resources.files("palomar_bpf") / "programs"
    parts = [(name, (folder / name).read_text(encoding="utf-8")) for name in _SOURCES]
    return "".join(f'#line 1 "programs/{name}"\n{text}' for name, text in parts)


def _run_child(request: dict[str, Any], log: IO[bytes]) -> list[int]:
    """Have a child compile and load; return the descriptors of `_NAMES`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(LOAD_TIMEOUT_S)
        # -P: the daemon's working folder is no place to import modules from.
        command = [sys.executable, "-P", "-m", "palomar_bpf.loader", str(theirs.fileno())]
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        try:
            answer, fds = _exchange(ours, request)
            if not answer:  # It has closed its end, so it is about to end: how?
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_EXIT_S)
        except TimeoutError as error:
            raise LoadError(
                f"compiling and loading took longer than {LOAD_TIMEOUT_S} s: is the machine short "
                "of CPU or memory?",
                log=_tail(log),
            ) from error
        finally:
            # After its answer it has nothing left to do but to take LLVM apart.
            child.kill()
            status = child.wait()
    if answer.get("names") == list(_NAMES) and len(fds) == len(_NAMES):
        return fds
    for fd in fds:
        os.close(fd)
    message = answer.get("error", f"the process that loads the programs ended, status {status}")
    tail = _tail(log)
    said = verdict(tail)
    raise LoadError(f"{message}: {said}" if said else message, log=tail)


def verdict(log: str) -> str:
    """The line of a log that says why: the compiler's first error, or the verifier's last word.

    Empty where nothing was printed; cut after 200 characters.
    """
    lines = [line.strip() for line in log.splitlines()]
    errors = [line for line in lines if ": error: " in line or ": fatal error: " in line]
    words = [line for line in lines if line and not _NO_VERDICT.match(line)]
    said = errors[0] if errors else words[-1] if words else ""
    return said[:_VERDICT_CHARACTERS_MAX]


def _exchange(child: socket.socket, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """Send the request; return the answer, empty where the child ended without one.

    Raises:
        TimeoutError: no answer within the socket's timeout.
    """
    try:
        child.send(json.dumps(request).encode())
        raw, fds, _, _ = socket.recv_fds(child, _MESSAGE_BYTES_MAX, len(_NAMES))
    except ConnectionError:
        return {}, []
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003 - positional only
    return json.loads(raw) if raw else {}, fds


def _tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_BYTES_MAX))
    return log.read().decode("utf-8", "replace")


def _compile(request: dict[str, Any]) -> list[int]:
    """The child's work: import bcc, compile, load; return the descriptors of `_NAMES`.

    Raises:
        LoadError: bcc is missing.
        Exception: bcc's own, of no narrower class, where it cannot compile or load.
    """
    folder = find_bcc()
    if folder is None:
        raise LoadError(f"bcc is not installed: {BCC_REMEDY}")
    sys.path.append(str(folder))  # Last, so that only bcc itself comes from there.
    os.environ["BCC_KERNEL_SOURCE"] = request["tree"]
    from bcc import BPF  # noqa: PLC0415 - only the child may map the compiler
    from bcc.libbcc import lib  # noqa: PLC0415

    # bcc's own headers are full of what -Wall would say; the tests compile with it.
    module = BPF(text=request["source"], cflags=["-w", *request["flags"]])
    fds = [module.load_func(name, BPF.SCHED_CLS).fd for name in _TC_PROGRAMS]
    fds += [module.load_func(name, BPF.RAW_TRACEPOINT).fd for name in _TRACEPOINT_PROGRAMS]
    return fds + [lib.bpf_table_fd(module.module, name.encode()) for name in _MAPS]


def _main(fd: int) -> None:
    """Serve one request on an inherited socket."""
    with socket.socket(fileno=fd) as parent:
        request = json.loads(parent.recv(_MESSAGE_BYTES_MAX))
        try:
            fds = _compile(request)
        except LoadError as error:
            parent.send(json.dumps({"error": str(error)}).encode())
        except Exception as error:  # noqa: BLE001 - all that bcc raises is plain Exception
            message = f"the programs do not load: {error}"
            parent.send(json.dumps({"error": message}).encode())
        else:
            socket.send_fds(parent, [json.dumps({"names": _NAMES}).encode()], fds)
            # The parent ends this process; until then the descriptors stay in flight.
            parent.recv(1)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
