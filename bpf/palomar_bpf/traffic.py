"""Small real traffic for demos and live tests, one command a kind.

Usage: python -m palomar_bpf.traffic COMMAND, one of
  serve PORT                    answer TCP and UDP until killed; prints `ready` when it listens
  connect HOST PORT             TCP connection and one exchange
  udp HOST PORT                 UDP datagram and its answer
  ping HOST                     echo request and its reply
  flood HOST PORT RATE SECONDS  RATE UDP datagrams a second, evenly in steps of a millisecond

Run inside a network namespace, IPv4 or IPv6. The middle three print what happened: `ok`, `refused`
or `timeout`; `flood` prints how many it sent.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
import time

TIMEOUT_S = 0.6
"""How long a client waits: long enough for this machine, short enough for a demo of a drop."""

FLOOD_PAYLOAD = bytes(100)
"""Makes a packet longer than the 128 bytes that events carry."""

_ECHO_REQUEST_IPV4, _ECHO_REQUEST_IPV6 = 8, 128


def serve(port: int) -> None:
    """Answer every TCP connection and every UDP datagram on `port`."""
    tcp = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.bind(("", port))
    selector = selectors.DefaultSelector()
    selector.register(tcp, selectors.EVENT_READ)
    selector.register(udp, selectors.EVENT_READ)
    print("ready", flush=True)  # noqa: T201 - the caller waits for it
    while True:
        for key, _ in selector.select():
            if key.fileobj is tcp:
                connection, _ = tcp.accept()
                with connection:
                    connection.settimeout(TIMEOUT_S)
                    connection.sendall(connection.recv(1024))
                    # Let the client close first, so that the exchange always ends the same way.
                    connection.recv(1)
            else:
                data, peer = udp.recvfrom(1024)
                udp.sendto(data, peer)


def connect(host: str, port: int) -> str:
    """Open a TCP connection, exchange a line, close it."""
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(b"hello\n")
            return "ok" if connection.recv(1024) == b"hello\n" else "wrong answer"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "timeout"


def udp(host: str, port: int) -> str:
    """Send a UDP datagram and wait for its answer."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(address)
        try:
            sock.send(b"hello\n")
            return "ok" if sock.recv(1024) == b"hello\n" else "wrong answer"
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "timeout"


def ping(host: str) -> str:
    """Send one echo request and wait for its reply.

    Uses an ICMP datagram socket, as ping(8) does: with a raw one the kernel would also look for a
    datagram socket, find none, and report the reply as dropped.
    """
    family, _, _, _, address = socket.getaddrinfo(host, None)[0]
    is_ipv4 = family == socket.AF_INET
    protocol = socket.IPPROTO_ICMP if is_ipv4 else socket.IPPROTO_ICMPV6
    kind = _ECHO_REQUEST_IPV4 if is_ipv4 else _ECHO_REQUEST_IPV6
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(address)
        try:
            # The kernel fills in checksum and identifier.
            sock.send(struct.pack(">BBHHH", kind, 0, 0, 0, 1) + b"palomar!")
            return "ok" if sock.recv(1024).endswith(b"palomar!") else "wrong answer"
        except TimeoutError:
            return "timeout"


def flood(host: str, port: int, rate: int, duration_s: float) -> int:
    """Send UDP datagrams at an even rate; return how many were sent."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as sock:
        sock.connect(address)
        started_s = time.monotonic()
        sent = 0
        while (elapsed_s := time.monotonic() - started_s) < duration_s:
            for _ in range(int(elapsed_s * rate) - sent):
                try:
                    sock.send(FLOOD_PAYLOAD)
                except ConnectionRefusedError:
                    # The answer to an earlier datagram; this one was not sent.
                    continue
                sent += 1
            time.sleep(0.001)
        return sent


def main(arguments: list[str]) -> None:
    """Run the command that the arguments name."""
    match arguments:
        case ["serve", port]:
            serve(int(port))
        case ["connect", host, port]:
            print(connect(host, int(port)))  # noqa: T201 - the answer is the output
        case ["udp", host, port]:
            print(udp(host, int(port)))  # noqa: T201 - likewise
        case ["ping", host]:
            print(ping(host))  # noqa: T201 - likewise
        case ["flood", host, port, rate, seconds]:
            print(flood(host, int(port), int(rate), float(seconds)))  # noqa: T201 - likewise
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
