"""What drop.c reports of packets that this kernel really drops, in a namespace made for it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from palomar_bpf.bpf_call import map_delete, map_update, raw_tracepoint_open
from palomar_bpf.btf import KernelBtf
from palomar_bpf.payload import (
    DROP_FLAG_IPV6,
    DROP_FLAG_L3_DEVICE,
    DROP_SUBTYPE_KERNEL,
    EXT_VERSION,
    EXTENSION_FLAG_TASK,
    MessageType,
)
from palomar_bpf.reasons import DEFAULT_IGNORED, reason_names, reason_numbers
from palomar_bpf.symbols import KernelSymbols

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Bench = Any  # The fixtures' own module; conftest cannot be imported by name.

pytestmark = pytest.mark.live

# Names and networks differ between test runs, of which several may share a machine.
RUN = os.getpid() % 100_000
HOST4, POD4 = f"198.18.{RUN % 256}.1", f"198.18.{RUN % 256}.2"
HOST6, POD6 = f"2001:db8:{RUN % 65_536:x}::1", f"2001:db8:{RUN % 65_536:x}::2"
NAMESPACE = f"pt-d{RUN}"
HOST_LINK, POD_LINK = f"pt-h{RUN}", "pt-pod"
TCP = 6

SEND = """
import os, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as s:
    try:
        s.sendto(b"palomar", (sys.argv[1], int(sys.argv[2])))
    except PermissionError:
        pass
print(os.getpid())
"""

TALK = """
import socket, sys
for _ in range(10):
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
        s.sendall(b"palomar")
        s.recv(100)
"""


@dataclass(frozen=True)
class Pod:
    """A namespace connected to this one by a veth pair."""

    netns: int
    host_ifindex: int
    pod_ifindex: int

    def run(self, *command: str) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", NAMESPACE, *command], check=True, capture_output=True, text=True
        )
        return done.stdout


@pytest.fixture(scope="module")
def pod(live: None) -> Iterator[Pod]:
    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    ip("netns", "add", NAMESPACE)
    try:
        ip(*f"link add {HOST_LINK} type veth peer name {POD_LINK} netns {NAMESPACE}".split())
        ip("addr", "add", f"{HOST4}/24", "dev", HOST_LINK)
        ip("addr", "add", f"{HOST6}/64", "dev", HOST_LINK, "nodad")
        ip("link", "set", HOST_LINK, "up")
        ip("-n", NAMESPACE, "addr", "add", f"{POD4}/24", "dev", POD_LINK)
        ip("-n", NAMESPACE, "addr", "add", f"{POD6}/64", "dev", POD_LINK, "nodad")
        ip("-n", NAMESPACE, "link", "set", POD_LINK, "up")
        seen = Pod(0, 0, 0).run(
            sys.executable, "-c",
            f"import os, socket; print(os.stat('/proc/self/ns/net').st_ino, "
            f"socket.if_nametoindex('{POD_LINK}'))",
        ).split()  # fmt: skip
        yield Pod(int(seen[0]), socket.if_nametoindex(HOST_LINK), int(seen[1]))
    finally:
        ip("netns", "del", NAMESPACE)  # Takes the pair with it.


def set_namespace(bench: Bench, pod: Pod, endpoint_id: int = 0, *, watched: bool = True) -> None:
    map_update(
        bench.programs.maps["namespaces"],
        struct.pack("=I", pod.netns),
        struct.pack("=HBx", endpoint_id, watched),
    )


def set_interface(bench: Bench, pod: Pod, endpoint_id: int = 0) -> None:
    map_update(
        bench.programs.maps["interfaces"],
        struct.pack("=I", pod.host_ifindex),
        struct.pack("=HBx", endpoint_id, 1),
    )


@contextlib.contextmanager
def attached(bench: Bench) -> Iterator[Bench]:
    link = raw_tracepoint_open("kfree_skb", bench.programs.drop_fd)
    try:
        yield bench
    finally:
        os.close(link)


@pytest.fixture(scope="module")
def watching(make_bench: Callable[..., Bench], pod: Pod) -> Iterator[Bench]:
    """Reports drops in the pod's namespace only: others' could fill the rings."""
    bench = make_bench(connections_max=64, drops="watched")
    set_namespace(bench, pod)
    with attached(bench):
        yield bench


@pytest.fixture(scope="module")
def reasons(live: None) -> dict[int, str]:
    with KernelBtf() as btf:
        return reason_names(btf)


@pytest.fixture
def firewall(pod: Pod) -> Iterator[Pod]:
    """A namespace that drops UDP to port 7777, coming and going."""
    pod.run("nft", "add table inet palomar_test")
    for hook in ("input", "output"):
        chain = f"inet palomar_test {hook}"
        pod.run("nft", f"add chain {chain} {{ type filter hook {hook} priority 0; }}")
        pod.run("nft", f"add rule {chain} udp dport 7777 drop")
    yield pod
    pod.run("nft", "delete table inet palomar_test")


def knock(address: str, port: int, family: int = socket.AF_INET) -> None:
    """Try to connect to a closed port."""
    with socket.socket(family) as client, pytest.raises(ConnectionRefusedError):
        client.connect((address, port))


def send(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"palomar", (address, port))


def to_port(port: int) -> Callable[[Any], bool]:
    """Drops of IPv4 or IPv6 packets without options, to a port."""

    def wanted(event: Any) -> bool:
        at = 0 if int(event.head["flags"]) & DROP_FLAG_L3_DEVICE else 14
        at += 40 if int(event.head["flags"]) & DROP_FLAG_IPV6 else 20
        return bool(event.packet[at + 2 : at + 4] == struct.pack("!H", port))

    return wanted


def test_connect_to_closed_port_is_a_drop_with_all_its_circumstances(
    watching: Bench, pod: Pod, reasons: dict[int, str]
) -> None:
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    knock(POD4, 4711)
    (event,) = watching.drops(to_port(4711))
    head, extension = event.head, event.extension
    assert (head["type"], head["subtype"]) == (MessageType.DROP, DROP_SUBTYPE_KERNEL)
    assert (head["version"], head["ext_version"]) == (2, EXT_VERSION)
    assert head["source"] == 0
    assert head["flags"] == 0
    assert head["ifindex"] == pod.pod_ifindex
    assert (head["src_label"], head["dst_label"], head["dst_id"]) == (0, 0, 0)
    assert (head["line"], head["file"], head["ext_error"]) == (0, 0, 0)
    assert head["len_orig"] == head["len_cap"] == len(event.packet)
    assert event.packet[12:14] == b"\x08\x00"
    assert event.packet[26:34] == socket.inet_aton(HOST4) + socket.inet_aton(POD4)
    assert before_ns <= extension["time_ns"] <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert extension["netns"] == pod.netns
    assert extension["interface"].decode() == POD_LINK
    assert reasons[int(extension["drop_reason"])] == "NO_SOCKET"
    assert KernelSymbols().name(int(extension["location"])) == "tcp_v4_rcv"
    assert extension["ethertype"] == 0x0800
    assert (extension["packets"], extension["bytes"]) == (1, head["len_orig"])
    assert extension["connection_state"] == 0
    # It is dropped in the softirq that receives it, not in a system call of whoever runs there.
    assert (extension["flags"], extension["tgid"], extension["tid"]) == (0, 0, 0)


def test_ipv6_drops_are_marked(watching: Bench, pod: Pod, reasons: dict[int, str]) -> None:
    knock(POD6, 4712, socket.AF_INET6)
    (event,) = watching.drops(to_port(4712))
    assert event.head["flags"] == DROP_FLAG_IPV6
    assert event.extension["ethertype"] == 0x86DD
    assert event.packet[12:14] == b"\x86\xdd"
    assert reasons[int(event.extension["drop_reason"])] == "NO_SOCKET"


def test_firewall_on_the_way_in(watching: Bench, firewall: Pod, reasons: dict[int, str]) -> None:
    send(POD4, 7777)
    (event,) = watching.drops(to_port(7777))
    assert reasons[int(event.extension["drop_reason"])] == "NETFILTER_DROP"
    assert KernelSymbols().name(int(event.extension["location"])) == "nft_do_chain"
    assert event.extension["netns"] == firewall.netns
    assert event.packet.endswith(b"palomar")


@pytest.mark.parametrize("address", [HOST4, HOST6], ids=["ipv4", "ipv6"])
def test_firewall_on_the_way_out_tells_the_sending_task(
    watching: Bench, firewall: Pod, reasons: dict[int, str], address: str
) -> None:
    pid = int(firewall.run(sys.executable, "-c", SEND, address, "7777"))
    (event,) = watching.drops(to_port(7777))
    extension = event.extension
    assert reasons[int(extension["drop_reason"])] == "NETFILTER_DROP"
    assert extension["flags"] == EXTENSION_FLAG_TASK
    assert (extension["tgid"], extension["tid"]) == (pid, pid)
    assert extension["netns"] == firewall.netns
    assert extension["cgroup_id"] > 0
    # No link-layer header yet, and no device.
    assert event.head["flags"] & DROP_FLAG_L3_DEVICE
    assert event.packet[0] >> 4 == (6 if ":" in address else 4)
    assert extension["interface"] == b""


def test_long_packet_is_cut_at_snaplen(watching: Bench, firewall: Pod) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"palomar" * 100, (POD4, 7777))
    (event,) = watching.drops(to_port(7777))
    assert event.head["len_orig"] == 14 + 20 + 8 + 700
    assert event.head["len_cap"] == len(event.packet) == 128
    assert event.extension["bytes"] == event.head["len_orig"]


def test_a_renamed_interface_shows_nothing_of_its_old_name(watching: Bench, pod: Pod) -> None:
    for name in ("pt-longer-name", POD_LINK):
        # Without addresses flushed: a link may be renamed while it is up since Linux 6.3 only.
        old = POD_LINK if name != POD_LINK else "pt-longer-name"
        pod.run("ip", "link", "set", old, "down")
        pod.run("ip", "link", "set", old, "name", name)
        pod.run("ip", "link", "set", name, "up")
    pod.run("ip", "addr", "replace", f"{POD6}/64", "dev", POD_LINK, "nodad")
    knock(POD4, 4723)
    (event,) = watching.drops(to_port(4723))
    at = event.raw.index(POD_LINK.encode())
    assert event.raw[at : at + 16] == POD_LINK.encode().ljust(16, b"\0")


def test_ignored_reasons_are_silent(watching: Bench, pod: Pod, reasons: dict[int, str]) -> None:
    ignored = watching.programs.maps["ignored_reasons"]
    keys = [struct.pack("=I", number) for number in reason_numbers(["NO_SOCKET"], reasons)]
    for key in keys:
        map_update(ignored, key, b"\1")
    knock(POD4, 4713)
    for key in keys:
        assert map_delete(ignored, key)
    knock(POD4, 4714)
    mine = watching.drops(lambda e: to_port(4713)(e) or to_port(4714)(e))
    assert [to_port(4714)(event) for event in mine] == [True]


def test_endpoint_comes_from_namespace_or_interface(watching: Bench, pod: Pod) -> None:
    set_namespace(watching, pod, 33)
    knock(POD4, 4715)
    (event,) = watching.drops(to_port(4715))
    assert event.head["source"] == 33
    set_namespace(watching, pod)
    set_interface(watching, pod, 44)
    pod.run(sys.executable, "-c", SEND, HOST4, "4716")
    (event,) = watching.drops(to_port(4716))
    assert event.head["source"] == 44
    assert event.head["ifindex"] == pod.host_ifindex


def test_only_watched_places_are_reported(make_bench: Callable[..., Bench], pod: Pod) -> None:
    with attached(make_bench(connections_max=64, drops="watched")) as bench:
        knock("127.0.0.1", 4717)
        knock(POD4, 4717)
        set_namespace(bench, pod, watched=False)
        knock(POD4, 4717)
        set_namespace(bench, pod)
        knock("127.0.0.1", 4717)
        knock(POD4, 4718)
        pod.run(sys.executable, "-c", SEND, HOST4, "4719")
        set_interface(bench, pod)
        pod.run(sys.executable, "-c", SEND, HOST4, "4720")
        ports = range(4717, 4721)
        events = bench.drops(lambda e: any(to_port(port)(e) for port in ports), count=2)
    seen = [port for event in events for port in ports if to_port(port)(event)]
    # In no order: they may come from different CPUs.
    assert sorted(seen) == [4718, 4720]


def test_drops_anywhere_are_reported_unless_restricted(make_bench: Callable[..., Bench]) -> None:
    found: list[Any] = []
    with attached(make_bench(connections_max=64)) as bench:
        deadline_s = time.monotonic() + 5
        while not found and time.monotonic() < deadline_s:
            # Again and again: others' drops may have filled the rings.
            bench.events()
            knock("127.0.0.1", 4722)
            found = [event for event in bench.events(0.1) if to_port(4722)(event)]
    assert found[0].extension["interface"] == b"lo"
    assert found[0].packet[12:14] == b"\x08\x00"


def test_bucket_withholds_a_flood(make_bench: Callable[..., Bench], pod: Pod) -> None:
    bench = make_bench(
        connections_max=64, drops="watched", drop_rate_per_cpu=1, drop_burst_per_cpu=2
    )
    set_namespace(bench, pod)
    with attached(bench):
        for _ in range(200):
            knock(POD4, 4721)
    counter = bench.counter(1)
    assert counter["emitted"] == len(bench.events(1.0))
    assert counter["withheld"] > 100
    assert counter["lost"] == 0


def answer(server: socket.socket, connections: int) -> None:
    """Answer each connection, and close it after the other side has."""
    for _ in range(connections):
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(accepted.recv(100))
            accepted.recv(1)


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, HOST4), (socket.AF_INET6, HOST6)],
    ids=["ipv4", "ipv6"],
)
def test_ordinary_connections_are_no_drops_with_the_default_ignored_reasons(
    make_bench: Callable[..., Bench],
    pod: Pod,
    reasons: dict[int, str],
    family: socket.AddressFamily,
    address: str,
) -> None:
    bench = make_bench(connections_max=64, drops="watched")
    set_namespace(bench, pod)
    set_interface(bench, pod)

    def talk() -> set[str]:
        """Reasons of drops of TCP during ten connections that lose nothing."""
        with socket.create_server((address, 0), family=family) as server:
            port = server.getsockname()[1]
            serving = threading.Thread(target=answer, args=(server, 10))
            serving.start()
            pod.run(sys.executable, "-c", TALK, address, str(port))
            serving.join()
        dropped = [event for event in bench.events(0.3) if is_tcp(event)]
        return {reasons[int(event.extension["drop_reason"])] for event in dropped}

    with attached(bench):
        assert talk() <= set(DEFAULT_IGNORED)
        for number in reason_numbers(DEFAULT_IGNORED, reasons):
            map_update(bench.programs.maps["ignored_reasons"], struct.pack("=I", number), b"\1")
        assert talk() == set()


def is_tcp(event: Any) -> bool:
    at = 0 if int(event.head["flags"]) & DROP_FLAG_L3_DEVICE else 14
    at += 6 if int(event.head["flags"]) & DROP_FLAG_IPV6 else 9
    return bool(event.packet[at] == TCP)
