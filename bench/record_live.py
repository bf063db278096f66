"""What recording live packets takes: palomard and tcpdump on the same traffic, one after the other.

Packets come in at the interface of a pod, are recorded there, and go no further.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from bench.daemon import palomard
from bench.datagrams import prepare
from bench.figure import Figure, percentile
from bench.process_cpu import cpu_s
from bench.readers_process import Readers
from palomar_bpf.testbed import Testbed
from palomar_proto.palomar.v1 import recordings_pb2 as api
from palomar_proto.palomar.v1.recordings_pb2_grpc import RecordingsStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_bpf.testbed import Pod

PORT = 9
OBSERVED_PORT = 10
PAYLOAD_BYTES = 86
"""Makes packets of 128 bytes."""
RATES = (100_000, 200_000, 300_000, 400_000, 500_000, 600_000, 700_000, 800_000, 1_000_000)
SIDE_BY_SIDE_RATE = 200_000
SECONDS = 2.0
SETTLE_S = 1.5
"""For what is on its way: the kernel hands tcpdump a block of packets once it is full, or a second
old."""
START_TIMEOUT_S = 10
_KEPT = 0.95
"""A sender that cannot keep to so much of a rate cannot go faster either."""
TCPDUMP_BUFFER_KIB = 16_384
"""As much memory as palomard's rings have on two CPUs, and eight times tcpdump's default."""
LATENCY_RATE = 10_000
LATENCY_S = 4.0


@dataclass(frozen=True, slots=True)
class _Taken:
    """What became of some traffic."""

    sent: int
    sent_per_s: float
    written: int
    cpu_s: float

    @property
    def lost(self) -> int:
        return self.sent - self.written


@contextmanager
def _pods() -> Iterator[tuple[str, Pod, Pod]]:
    with Testbed(("pt-bench-a", "pt-bench-b")) as testbed:
        source, sink = testbed.pods
        # Datagrams nobody listens for: the filter keeps the kernel from answering each.
        sink.run("ip", "route", "add", "blackhole", f"{source.ipv4}/32")
        yield testbed.interface_glob, source, sink


@contextmanager
def _dead_end(interface: str) -> Iterator[None]:
    """Have nftables drop what comes in at an interface, behind everybody who records there."""
    table = f"palomar_{interface}"
    hook = f"type filter hook ingress device {interface} priority 0"
    rules = f"table netdev {table} {{ chain end {{ {hook}; drop; }}; }}"
    subprocess.run(["nft", rules], check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "netdev", table], check=True)


def _send(source: Pod, sink: Pod, rate: int) -> tuple[int, float]:
    """Send packets at a rate; return how many, and at which rate they went."""
    arguments = (sink.ipv4, *map(str, (PORT, PAYLOAD_BYTES, rate, SECONDS)))
    told = json.loads(source.run(sys.executable, "-m", "bench.datagrams", *arguments))
    return int(told["sent"]), told["sent"] / told["took_s"]


def _by_palomard(glob: str, source: Pod, sink: Pod, rates: tuple[int, ...]) -> Iterator[_Taken]:
    """Each rate recorded, until one lost something."""
    with tempfile.TemporaryDirectory() as folder:
        options = (
            *("--interface", glob, "--drops", "off"),
            *("--recordings-directory", f"{folder}/recordings"),
            *("--database-url", f"sqlite+aiosqlite:///{folder}/palomar.db"),
        )
        with (
            palomard(*options) as running,
            contextlib.closing(grpc.insecure_channel(f"unix:{running.socket}")) as channel,
        ):
            stub = RecordingsStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
            # The first recording of a palomard loads what only recordings need.
            stub.Stop(api.StopRequest(id=stub.Start(_request(source, sink)).id))
            for rate in rates:
                recording = stub.Start(_request(source, sink))
                before_s = cpu_s(running.pid)
                sent, sent_per_s = _send(source, sink, rate)
                time.sleep(SETTLE_S)
                used_s = cpu_s(running.pid) - before_s
                ended = stub.Stop(api.StopRequest(id=recording.id))
                stub.Delete(api.DeleteRequest(id=recording.id))
                taken = _Taken(sent, sent_per_s, ended.counts.written.packets, used_s)
                yield taken
                if taken.lost or sent_per_s < _KEPT * rate:
                    break


def _request(source: Pod, sink: Pod) -> api.StartRequest:
    """All packets from the one pod to the other's port; by the packet alone, as tcpdump does."""
    request = api.StartRequest(format=api.RECORDING_FORMAT_PCAP)
    request.filter.one_way = True
    request.filter.tuples.add(
        source_cidr=f"{source.ipv4}/32",
        destination_cidr=f"{sink.ipv4}/32",
        destination_port=PORT,
        protocol=socket.IPPROTO_UDP,
    )
    return request


def _by_tcpdump(source: Pod, sink: Pod, rates: tuple[int, ...]) -> Iterator[_Taken]:
    with tempfile.TemporaryDirectory() as folder:
        for rate in rates:
            command = (
                *("tcpdump", "-i", source.interface, "-s", "0", "-B", str(TCPDUMP_BUFFER_KIB)),
                *("-w", f"{folder}/capture.pcap", "-Z", "root"),
                f"udp and dst host {sink.ipv4} and dst port {PORT}",
            )
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tcpdump:
                assert tcpdump.stderr is not None  # noqa: S101 - for the type checker
                while "listening on" not in tcpdump.stderr.readline():
                    pass
                before_s = cpu_s(tcpdump.pid)
                sent, sent_per_s = _send(source, sink, rate)
                time.sleep(SETTLE_S)
                used_s = cpu_s(tcpdump.pid) - before_s
                tcpdump.send_signal(signal.SIGINT)
                told = tcpdump.communicate(timeout=START_TIMEOUT_S)[1]
            captured = re.search(r"(\d+) packets? captured", told)
            assert captured is not None, told  # noqa: S101 - a tool that says something else
            taken = _Taken(sent, sent_per_s, int(captured[1]), used_s)
            yield taken
            if taken.lost or sent_per_s < _KEPT * rate:
                break


def record_live() -> list[Figure]:
    """The largest rate without loss, and what a smaller one costs."""
    with _pods() as (glob, source, sink), _dead_end(source.interface):
        prepare(source, sink)
        _, unrecorded_per_s = _send(source, sink, 0)
        (ours,) = _by_palomard(glob, source, sink, (SIDE_BY_SIDE_RATE,))
        our_best = _best(_by_palomard(glob, source, sink, RATES))
        theirs = their_best = None
        if shutil.which("tcpdump") is not None:
            (theirs,) = _by_tcpdump(source, sink, (SIDE_BY_SIDE_RATE,))
            their_best = _best(_by_tcpdump(source, sink, RATES))
    beside = "tcpdump is not installed"
    if theirs is not None and their_best is not None:
        beside = f"tcpdump {their_best:,.0f}"
    return [
        Figure(
            "record_live_packets_per_s",
            our_best,
            "packets/s",
            f"128 bytes through a veth pair to a pcap file, none lost; {beside}; the sender, on "
            f"one core, gets {unrecorded_per_s:,.0f} through where nobody observes or records",
        ),
        Figure(
            "record_live_cpu_s_per_million",
            ours.cpu_s / ours.sent * 1e6,
            "CPU-s",
            f"at {SIDE_BY_SIDE_RATE:,} packets/s, of {ours.sent:,} sent {ours.lost:,} lost"
            + ("" if theirs is None else _told(theirs)),
        ),
    ]


def _told(theirs: _Taken) -> str:
    return (
        f"; tcpdump {theirs.cpu_s / theirs.sent * 1e6:.3g} CPU-s, of {theirs.sent:,} "
        f"{theirs.lost:,} lost"
    )


def _best(runs: Iterator[_Taken]) -> float:
    """Packets a second of the last run without loss."""
    return max((taken.sent_per_s for taken in runs if not taken.lost), default=0.0)


def record_latency() -> list[Figure]:
    """How much later followers get their flows while packets are recorded beside them."""
    p50_ms = {}
    with _pods() as (glob, source, sink), tempfile.TemporaryDirectory() as folder:
        options = (
            *("--interface", glob, "--drops", "off", "--aggregation", "none"),
            *("--recordings-directory", f"{folder}/recordings"),
            *("--database-url", f"sqlite+aiosqlite:///{folder}/palomar.db"),
        )
        for recorded in (False, True):
            with palomard(*options) as running:
                channel = grpc.insecure_channel(f"unix:{running.socket}")
                stub = RecordingsStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
                if recorded:
                    stub.Start(api.StartRequest())
                readers = Readers(running.socket, [{"port": str(OBSERVED_PORT)}], delays=True)
                flood = (sink.ipv4, str(OBSERVED_PORT), str(LATENCY_RATE // 2), str(LATENCY_S))
                source.run(sys.executable, "-m", "palomar_bpf.traffic", "flood", *flood)
                time.sleep(1)
                (received,) = readers.end()
                channel.close()
            delays_ms = [delay / 1e6 for delay in received["delays_ns"]]
            p50_ms[recorded] = percentile(delays_ms, 50), percentile(delays_ms, 99)
    return [
        Figure(
            "record_observe_latency_p50_ms",
            p50_ms[True][0],
            "ms",
            f"a follower's flows at {LATENCY_RATE:,} events/s while all packets are recorded, p99 "
            f"{p50_ms[True][1]:.3g}; without recording {p50_ms[False][0]:.3g}, p99 "
            f"{p50_ms[False][1]:.3g}",
        )
    ]
