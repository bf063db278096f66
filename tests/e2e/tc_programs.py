"""Which of palomar's programs are on an interface, asked of the kernel."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess

from palomar_bpf import bpf_call

LIBC = ctypes.CDLL(None, use_errno=True)
BPF_PROG_QUERY, TCX_INGRESS, TCX_EGRESS = 16, 46, 47


def tc_filters(interface: str) -> str:
    """The clsact filters on an interface, as tc lists them."""
    return "".join(
        subprocess.run(
            ["tc", "filter", "show", "dev", interface, where],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for where in ("ingress", "egress")
    )


def programs(interface: str) -> int:
    """How many of palomar's programs are on an interface, by tcx and by clsact."""
    attributes = struct.Struct("=IIIIQI36x")
    query = ctypes.create_string_buffer(attributes.size)
    linked = 0
    for attach_type in (TCX_INGRESS, TCX_EGRESS):
        index = socket.if_nametoindex(interface)
        attributes.pack_into(query, 0, index, attach_type, 0, 0, 0, 0)
        done = LIBC.syscall(ctypes.c_long(bpf_call._number), BPF_PROG_QUERY, query, len(query))
        assert done == 0, os.strerror(ctypes.get_errno())
        linked += attributes.unpack(query)[5]
    return linked + tc_filters(interface).count("palomar_")
