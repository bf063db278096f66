"""Sends UDP datagrams as fast as this machine can from one thread, or at a rate.

Usage: python -m bench.datagrams HOST PORT SIZE RATE SECONDS

The kernel is given many datagrams in one go and cuts them (udp(7), UDP_SEGMENT), which takes a
fifth of the time of sending each; `prepare` makes it cut them before the device. RATE is datagrams
a second, 0 for as many as go; SIZE the bytes of each. Prints how many were sent, in how many
seconds.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palomar_bpf.testbed import Pod

UDP_SEGMENT = 103
"""linux/udp.h."""
SEGMENTS_MAX = 64
"""UDP_MAX_SEGMENTS of Linux 5.10."""


def prepare(source: Pod, sink: Pod) -> None:
    """Have a pod's datagrams to another leave one by one, whether or not the other is there."""
    source.run("ip", "link", "set", "dev", "eth0", "gso_max_segs", "1")
    nobody = "02:00:00:00:00:09"
    source.run("ip", "neighbour", "replace", sink.ipv4, "lladdr", nobody, "dev", "eth0")


def send(host: str, port: int, size: int, rate: int, duration_s: float) -> tuple[int, float]:
    """Send for so long; return how many were sent, and how long it took in seconds."""
    payload = memoryview(bytes(SEGMENTS_MAX * size))
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        sock.connect((host, port))
        started_s = time.monotonic()
        while (elapsed_s := time.monotonic() - started_s) < duration_s:
            due = int(elapsed_s * rate) - sent if rate else SEGMENTS_MAX
            if due <= 0:
                time.sleep(0.0002)
                continue
            sent += sock.send(payload[: min(due, SEGMENTS_MAX) * size]) // size
        return sent, time.monotonic() - started_s


def main() -> None:
    """Do what the arguments say."""
    host, port, size, rate, seconds = sys.argv[1:]
    sent, took_s = send(host, int(port), int(size), int(rate), float(seconds))
    print(json.dumps({"sent": sent, "took_s": took_s}))


if __name__ == "__main__":
    main()
