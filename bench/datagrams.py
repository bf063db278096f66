"""Sends UDP datagrams as fast as this machine can from one thread, or at a rate.

Usage: python -m bench.datagrams HOST PORT SIZE RATE SECONDS

RATE is datagrams a second, 0 for as many as go; SIZE the bytes of each. Prints how many were sent
and the seconds it took. Run inside a network namespace; the datagrams go to HOST alone.
"""

from __future__ import annotations

import ctypes
import json
import socket
import sys
import time

MESSAGES = 64
"""In one system call: enough to make the call itself cheap, few enough to keep to a rate."""


class _Vector(ctypes.Structure):
    """struct iovec of writev(2)."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct mmsghdr of sendmmsg(2), of whose struct msghdr only the data matters here."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent_bytes", ctypes.c_uint),
    )


def send(host: str, port: int, size: int, rate: int, duration_s: float) -> tuple[int, float]:
    """Send for so long; return how many were sent, and how long it took in seconds."""
    libc = ctypes.CDLL(None, use_errno=True)
    payload = ctypes.create_string_buffer(size)
    vector = _Vector(ctypes.addressof(payload), size)
    headers = (_Header * MESSAGES)(
        *(_Header(vectors=ctypes.addressof(vector), vector_count=1) for _ in range(MESSAGES))
    )
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        started_s = time.monotonic()
        while (elapsed_s := time.monotonic() - started_s) < duration_s:
            due = int(elapsed_s * rate) - sent if rate else MESSAGES
            if due <= 0:
                time.sleep(0.0002)
                continue
            done = libc.sendmmsg(sock.fileno(), headers, min(due, MESSAGES), 0)
            sent += max(done, 0)
        return sent, time.monotonic() - started_s


def main() -> None:
    """Do what the arguments say."""
    host, port, size, rate, seconds = sys.argv[1:]
    sent, took_s = send(host, int(port), int(size), int(rate), float(seconds))
    print(json.dumps({"sent": sent, "took_s": took_s}))


if __name__ == "__main__":
    main()
