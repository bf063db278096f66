"""The handful of bpf(2) commands the daemon needs, typed, without any BPF library.

Loading happens in a child process (`palomar_bpf.loader`) that hands over file descriptors; in comes
such a descriptor with keys and values as bytes, out come bytes or new descriptors. Called by
attachment (links), capture (raw tracepoint, maps, counters) and the reader (event array).

The attribute layouts are the members of `union bpf_attr` in the kernel's include/uapi/linux/bpf.h;
the system call's numbers are those of each architecture's unistd.h. All descriptors that the kernel
makes here are close-on-exec, and what hangs on them ends with the last of their copies.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

from palomar_bpf.errors import BpfError

__all__ = [
    "BpfError",
    "link_create_tcx",
    "map_delete",
    "map_lookup",
    "map_update",
    "percpu_lookup",
    "possible_cpus",
    "raw_tracepoint_open",
]

_BPF_SYSCALL = {
    "x86_64": 321,
    "ppc64le": 361,
    "ppc64": 361,
    "s390x": 351,
    "armv7l": 386,
    "i686": 357,
}
_BPF_SYSCALL_GENERIC = 280
"""aarch64, riscv64, loongarch64 and every newer architecture: asm-generic/unistd.h."""

_MAP_LOOKUP_ELEM = 1
_MAP_UPDATE_ELEM = 2
_MAP_DELETE_ELEM = 3
_RAW_TRACEPOINT_OPEN = 17
_LINK_CREATE = 28

_TCX_INGRESS = 46
_TCX_EGRESS = 47
_F_BEFORE = 1 << 3
_F_AFTER = 1 << 4

_MAP_ELEMENT = struct.Struct("=I4xQQQ")
"""map_fd, address of the key, address of the value, flags."""
_TRACEPOINT = struct.Struct("=QI4x")
"""Address of the name, prog_fd."""
_TCX_LINK = struct.Struct("=IIIIIIQ")
"""prog_fd, target_ifindex, attach_type, flags, relative_fd, padding, expected_revision."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_number = _BPF_SYSCALL.get(platform.machine(), _BPF_SYSCALL_GENERIC)


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """Return the value of `key`, `value_size` bytes long, or None where the map has no such key.

    Raises:
        BpfError: the kernel refused, for another reason than the absence of the key.
    """
    value = ctypes.create_string_buffer(value_size)
    try:
        _map_element(_MAP_LOOKUP_ELEM, "map lookup", fd, key, value)
    except BpfError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Set the value of `key`, whether or not the map has it already.

    Raises:
        BpfError: the kernel refused; E2BIG means the map is full.
    """
    held = ctypes.create_string_buffer(value, len(value))
    _map_element(_MAP_UPDATE_ELEM, "map update", fd, key, held)


def map_delete(fd: int, key: bytes) -> bool:
    """Remove `key`; False where the map did not have it.

    Raises:
        BpfError: the kernel refused, for another reason than the absence of the key.
    """
    try:
        _map_element(_MAP_DELETE_ELEM, "map delete", fd, key, None)
    except BpfError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def percpu_lookup(fd: int, key: bytes, value_size: int, cpus: int) -> list[bytes]:
    """Return the values of `key` in a per-CPU map, one for each of the `cpus` possible CPUs.

    `cpus` must be `possible_cpus()`: the kernel writes that many values whatever the caller says.

    Raises:
        BpfError: the kernel refused, or the map has no such key.
    """
    stride = (value_size + 7) // 8 * 8  # The kernel rounds each CPU's value up to 8 bytes.
    held = ctypes.create_string_buffer(stride * cpus)
    _map_element(_MAP_LOOKUP_ELEM, "per-CPU map lookup", fd, key, held)
    raw = held.raw
    return [raw[cpu * stride : cpu * stride + value_size] for cpu in range(cpus)]


def link_create_tcx(
    prog_fd: int, ifindex: int, *, egress: bool, before: bool, relative_fd: int = 0
) -> int:
    """Attach a tc program to an interface with a tcx link (kernel 6.6 and later).

    The program runs first of all programs on that hook if `before`, else last; or right before or
    behind the program `relative_fd`, if one is given. It leaves the interface when the returned
    descriptor is closed, also by SIGKILL.

    Raises:
        BpfError: the kernel refused; EINVAL means a kernel without tcx, ENODEV no such interface,
            ENOENT that `relative_fd` is not on it.
    """
    attributes = _TCX_LINK.pack(
        prog_fd,
        ifindex,
        _TCX_EGRESS if egress else _TCX_INGRESS,
        _F_BEFORE if before else _F_AFTER,
        relative_fd,
        0,
        0,
    )
    return _bpf(_LINK_CREATE, f"tcx link on interface {ifindex}", attributes)


def raw_tracepoint_open(name: str, prog_fd: int) -> int:
    """Attach a raw tracepoint program; it is detached when the returned descriptor is closed.

    Raises:
        BpfError: the kernel refused; ENOENT means it has no tracepoint of that name.
    """
    held = ctypes.create_string_buffer(name.encode())
    attributes = _TRACEPOINT.pack(ctypes.addressof(held), prog_fd)
    return _bpf(_RAW_TRACEPOINT_OPEN, f"raw tracepoint {name}", attributes)


def possible_cpus() -> int:
    """How many CPUs this kernel could ever have: the number of values in its per-CPU maps."""
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip()
    count = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def _map_element(
    command: int, what: str, fd: int, key: bytes, value: ctypes.Array[ctypes.c_char] | None
) -> None:
    """Run a command on one map element; the kernel reads or fills `value` in place."""
    held_key = ctypes.create_string_buffer(key, len(key))
    value_address = 0 if value is None else ctypes.addressof(value)
    attributes = _MAP_ELEMENT.pack(fd, ctypes.addressof(held_key), value_address, 0)
    _bpf(command, what, attributes)


def _bpf(command: int, what: str, attributes: bytes) -> int:
    """Make the system call; `what` names the command in the error."""
    held = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = _libc.syscall(
        ctypes.c_long(_number), ctypes.c_int(command), held, ctypes.c_uint(len(attributes))
    )
    if result < 0:
        code = ctypes.get_errno()
        raise BpfError(code, f"bpf {what}: {os.strerror(code)}")
    return result
