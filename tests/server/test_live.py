"""The live source: context and batches from a real kernel."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.settings import CaptureSettings
from palomar_bpf.testbed import Testbed
from palomar_server.live import LiveSource
from palomar_server.local_endpoints import LocalEndpoints
from palomar_server.source import END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from palomar_server.surroundings import Context

pytestmark = pytest.mark.live
DEADLINE_S = 20


@pytest.fixture
def testbed(live: None) -> Iterator[Testbed]:
    with Testbed((f"plm-a-{os.getpid()}", f"plm-b-{os.getpid()}")) as testbed:
        yield testbed


@pytest.fixture
def source(testbed: Testbed) -> Iterator[LiveSource]:
    source = LiveSource(
        CaptureSettings(interfaces=(testbed.interface_glob,), drops="watched"),
        LocalEndpoints(None, cluster_name="default", namespace="default"),
        netns_directory=Path("/run/netns"),
        node_name="default/node",
    )
    source.open()
    yield source
    source.close()


def read_until(source: LiveSource, enough: Callable[[list[Any]], bool]) -> list[Any]:
    items: list[Any] = []
    deadline_s = time.monotonic() + DEADLINE_S
    while not enough(items):
        assert time.monotonic() < deadline_s, items
        item = source.read(0.1)
        if item is not None:
            items.append(item)
    return items


def merged(items: list[Any], key: str) -> dict[str, Any]:
    return {
        name: value
        for item in items
        if isinstance(item, dict)
        for name, value in item.get(key, {}).items()
    }


def test_context_comes_before_the_first_batch(source: LiveSource, testbed: Testbed) -> None:
    first, second = testbed.pods
    assert first.traffic("ping", second.ipv4) == "ok"
    items = read_until(source, lambda seen: any(isinstance(one, PayloadBatch) for one in seen))
    context = items[:-1]
    assert all(isinstance(item, dict) for item in context)
    assert {"node_name": "default/node"} in context
    assert "NO_SOCKET" in merged(context, "reasons").values()
    assert {first.interface, second.interface} == set(merged(context, "links").values())
    known = merged(context, "endpoints")
    assert known[f"netns:{first.name}"]["pod_name"] == first.name
    assert first.ipv4 in known[f"netns:{first.name}"]["addresses"]
    offset_ns = next(item["boot_offset_ns"] for item in context if "boot_offset_ns" in item)
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert abs(boot_ns + offset_ns - time.time_ns()) < 1_000_000_000


def test_pod_that_comes_and_goes_is_told(source: LiveSource, testbed: Testbed) -> None:
    name = f"plm-late-{os.getpid()}"
    pod = testbed.add_pod(name)

    def has_addresses(seen: list[Any]) -> bool:
        change = merged(seen, "endpoints").get(f"netns:{name}", {})
        return {pod.ipv4, pod.ipv6} <= set(change.get("addresses", ()))

    read_until(source, has_addresses)
    testbed.remove_pod(name)
    gone = read_until(
        source, lambda seen: "removed_ns" in merged(seen, "endpoints").get(f"netns:{name}", {})
    )
    links = merged(gone, "links")
    assert None in links.values() or not links


def test_wake_ends_a_read_and_close_ends_the_source(source: LiveSource) -> None:
    read_until(source, lambda seen: any("boot_offset_ns" in item for item in seen))
    timer = threading.Timer(0.1, source.wake)
    timer.start()
    # Without a time to wait for, only waking ends it.
    while source.read(None) is not None:
        pass
    timer.join()
    source.close()
    assert source.read(0) is END


class NoAddresses(LocalEndpoints):
    """Fails when everything else is attached already."""

    def host(self, addresses: Iterable[str]) -> Context:
        raise OSError("addresses cannot be listed")


@pytest.mark.parametrize("method", ["tcx", "clsact"])
def test_failure_half_way_leaves_nothing_behind(
    testbed: Testbed, method: Literal["tcx", "clsact"]
) -> None:
    source = LiveSource(
        CaptureSettings(interfaces=(testbed.interface_glob,), drops="off", attach_method=method),
        NoAddresses(None, cluster_name="default", namespace="default"),
        netns_directory=Path("/run/netns"),
        node_name="default/node",
    )
    threads, descriptors = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="addresses cannot be listed"):
        source.open()
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    for pod in testbed.pods:
        qdiscs = subprocess.run(
            ["tc", "qdisc", "show", "dev", pod.interface],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "clsact" not in qdiscs.stdout
