"""Pods for demos and live tests: network namespaces joined by veth pairs and a bridge of this host.

    namespace web                this host                  namespace client
    ┌────────────┐      ┌─────────────────────────┐         ┌────────────┐
    │       eth0 ├──────┤ plm…0   plm…b   plm…1   ├─────────┤ eth0       │
    └────────────┘ veth └───────── bridge ────────┘  veth   └────────────┘

The bridge has no address and no route: nothing gets in or out. Everything is removed by name when
the testbed closes, also when making it failed half-way. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMAND_TIMEOUT_S = 20


class TestbedError(Exception):
    """A command that makes the testbed failed; the text has it and what it said."""

    __test__ = False


@dataclass(frozen=True, slots=True)
class Pod:
    """One namespace of a testbed."""

    name: str
    """Name of its network namespace."""
    ipv4: str
    ipv6: str
    interface: str
    """The end of its veth pair that is in this host."""

    def command(self, *argv: str) -> list[str]:
        """`argv`, run inside the pod."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command inside the pod; return what it printed.

        Raises:
            TestbedError: it failed.
        """
        return _run(self.command(*argv), stdin)

    def traffic(self, *arguments: str) -> str:
        """Run `palomar_bpf.traffic` inside the pod; return the word it printed."""
        return self.run(sys.executable, "-m", "palomar_bpf.traffic", *arguments).strip()

    @contextlib.contextmanager
    def serve(self, port: int) -> Iterator[None]:
        """Answer TCP and UDP on `port` inside the pod while the context lasts."""
        server = subprocess.Popen(  # noqa: S603 - our own module
            self.command(sys.executable, "-m", "palomar_bpf.traffic", "serve", str(port)),
            stdout=subprocess.PIPE,
            text=True,
        )
        with server:
            try:
                if server.stdout is None or server.stdout.readline() != "ready\n":
                    raise TestbedError(f"the server on port {port} in {self.name} did not start")
                yield
            finally:
                server.kill()

    def drop_port(self, port: int) -> None:
        """Make nftables drop TCP and UDP to `port` on its way into the pod."""
        self.run(
            "nft",
            "-f",
            "-",
            stdin=(
                "table inet palomar {\n"
                "  chain input {\n"
                "    type filter hook input priority 0;\n"
                f"    meta l4proto {{ tcp, udp }} th dport {port} drop\n"
                "  }\n"
                "}\n"
            ),
        )


class Testbed:
    """Namespaces on a bridge, as a context manager.

    Args:
        names: of the pods' namespaces; none of them may exist.
    """

    __test__ = False

    def __init__(self, names: Sequence[str]) -> None:
        token = secrets.token_hex(3)
        self.bridge = f"plm{token}b"
        self._token = token
        self.pods = [self._pod(name, number) for number, name in enumerate(names)]
        self.interface_glob = f"plm{token}[0-9]*"
        """Matches the pods' interfaces in this host, and no others."""
        self._namespaces: list[str] = []

    def __enter__(self) -> Self:
        try:
            _run(["ip", "link", "add", self.bridge, "type", "bridge"])
            # Without these the bridge would chatter in IPv6 and wait before it forwards.
            _run(["ip", "link", "set", self.bridge, "addrgenmode", "none"])
            _run(["ip", "link", "set", self.bridge, "type", "bridge", "mcast_snooping", "0"])
            _run(["ip", "link", "set", self.bridge, "up"])
            for pod in self.pods:
                self._add(pod)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Pod:
        return next(pod for pod in self.pods if pod.name == name)

    def add_pod(self, name: str) -> Pod:
        """Add one more pod while the testbed is in use."""
        pod = self._pod(name, len(self.pods))
        self.pods.append(pod)
        self._add(pod)
        return pod

    def remove_pod(self, name: str) -> None:
        """Delete a pod's namespace, and with it its veth pair."""
        _run(["ip", "netns", "delete", name])
        self._namespaces.remove(name)

    def _pod(self, name: str, number: int) -> Pod:
        # Addresses of the benchmarking and documentation ranges of RFC 2544 and RFC 3849; a subnet
        # for each testbed, so that several at once do not share addresses.
        subnet = int(self._token[:2], 16)
        return Pod(
            name,
            f"198.18.{subnet}.{10 + number}",
            f"2001:db8:{self._token[:4]}::{10 + number}",
            f"plm{self._token}{number}",
        )

    def _add(self, pod: Pod) -> None:
        if pod.name in _run(["ip", "netns", "list"]).split():
            raise TestbedError(
                f"the network namespace {pod.name} exists already; if nobody needs it, "
                f"remove it: ip netns delete {pod.name}"
            )
        _run(["ip", "netns", "add", pod.name])
        self._namespaces.append(pod.name)
        peer = ("peer", "name", "eth0", "netns", pod.name)
        _run(["ip", "link", "add", pod.interface, "type", "veth", *peer])
        _run(["ip", "link", "set", pod.interface, "addrgenmode", "none"])
        _run(["ip", "link", "set", pod.interface, "master", self.bridge, "up"])
        pod.run("ip", "link", "set", "lo", "up")
        # As systemd has it on hosts: anyone may ping.
        pod.run("sh", "-c", "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range")
        pod.run("ip", "link", "set", "eth0", "addrgenmode", "none")
        pod.run("ip", "address", "add", f"{pod.ipv4}/24", "dev", "eth0")
        pod.run("ip", "address", "add", f"{pod.ipv6}/64", "dev", "eth0", "nodad")
        pod.run("ip", "link", "set", "eth0", "up")

    def close(self) -> None:
        """Remove everything that was made; once is enough, twice does no harm."""
        for name in self._namespaces:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)  # noqa: S603, S607 - a name we made, the command a user would type
        self._namespaces.clear()
        for interface in (self.bridge, *(pod.interface for pod in self.pods)):
            subprocess.run(["ip", "link", "delete", interface], check=False, capture_output=True)  # noqa: S603, S607 - likewise


def _run(argv: list[str], stdin: str | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - commands of this module
            argv, input=stdin, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise TestbedError(f"{argv[0]} is not installed; run `make setup`") from error
    except subprocess.CalledProcessError as error:
        raise TestbedError(f"`{' '.join(argv)}` failed: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"`{' '.join(argv)}` took over {COMMAND_TIMEOUT_S} s") from error
    return done.stdout
