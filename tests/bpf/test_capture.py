from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from palomar_bpf import attachment as attachment_module
from palomar_bpf import capture as capture_module
from palomar_bpf.attachment import attach
from palomar_bpf.batch import LossKind
from palomar_bpf.bpf_call import map_lookup
from palomar_bpf.capture import CaptureSettings, LiveCapture
from palomar_bpf.clsact import remove_leftovers
from palomar_bpf.errors import CaptureError
from palomar_bpf.payload import (
    DROP_HEAD,
    EXTENSION,
    TRACE_HEAD,
    MessageType,
    ObservationPoint,
)
from palomar_bpf.testbed import Testbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from palomar_bpf.batch import PayloadBatch
    from palomar_bpf.links import Link

EVERYTHING = CaptureSettings(aggregation="none", drops="off")
PORT = 8080


@pytest.fixture(scope="module")
def testbed(live: None) -> Iterator[Testbed]:
    with Testbed([f"pt-capture-{letter}-{os.getpid()}" for letter in "ab"]) as made:
        yield made


def on(testbed: Testbed, **values: Any) -> CaptureSettings:
    """Settings for the pods' interfaces and no others."""
    return dataclasses.replace(EVERYTHING, interfaces=(testbed.interface_glob,), **values)


def batches(capture: LiveCapture, quiet_s: float = 0.3) -> Iterator[PayloadBatch]:
    """All batches until nothing came for a while."""
    while (batch := capture.read(quiet_s)) is not None:
        yield batch


def traces(capture: LiveCapture, quiet_s: float = 0.3) -> list[Any]:
    """The heads of all trace events until nothing came for a while."""
    return [
        np.frombuffer(batch.payload(row)[: TRACE_HEAD.itemsize], TRACE_HEAD)[0]
        for batch in batches(capture, quiet_s)
        for row in range(len(batch))
        if batch.payload(row)[0] == MessageType.TRACE
    ]


def pings(capture: LiveCapture) -> list[Any]:
    """Those of a pod's pings and their answers."""
    return [head for head in traces(capture) if head["len_orig"] == 14 + 20 + 16]


def eventually(holds: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return holds()


def observes(capture: LiveCapture, name: str) -> Callable[[], bool]:
    return lambda: name in {link.name for link in capture.observed_links.values()}


def test_nothing_works_before_it_is_open() -> None:
    capture = LiveCapture(CaptureSettings())
    for use in (
        lambda: capture.read(0),
        lambda: capture.set_endpoint(1, netns=1),
        lambda: capture.clear_endpoint(netns=1),
        lambda: capture.symbol(1),
        lambda: capture.links,
        capture.statistics,
        capture.pause,
        capture.resume,
    ):
        with pytest.raises(CaptureError, match="not open"):
            use()
    capture.wake()
    capture.close()


@pytest.mark.parametrize("endpoint_id", [0, -1, 65_536])
def test_endpoint_ids_have_sixteen_bits(endpoint_id: int) -> None:
    with pytest.raises(ValueError, match=f"endpoint_id is {endpoint_id}"):
        LiveCapture(CaptureSettings()).set_endpoint(endpoint_id, netns=1)


@pytest.mark.live
def test_a_ping_between_pods_is_seen_at_all_four_points(testbed: Testbed) -> None:
    near, far = testbed.pods
    with LiveCapture(on(testbed)) as capture:
        indices = [socket.if_nametoindex(pod.interface) for pod in (near, far)]
        capture.set_endpoint(7, ifindex=indices[0])
        capture.set_endpoint(8, ifindex=indices[1])
        assert near.traffic("ping", far.ipv4) == "ok"
        seen = [
            (int(head["subtype"]), int(head["source"]), int(head["ifindex"]))
            for head in pings(capture)
        ]
    assert seen.count((ObservationPoint.FROM_ENDPOINT, 7, indices[0])) == 1
    assert seen.count((ObservationPoint.TO_ENDPOINT, 8, indices[1])) == 1
    assert seen.count((ObservationPoint.FROM_ENDPOINT, 8, indices[1])) == 1
    assert seen.count((ObservationPoint.TO_ENDPOINT, 7, indices[0])) == 1


@pytest.mark.live
def test_a_tcp_connection_is_seen_by_both_methods(testbed: Testbed) -> None:
    near, far = testbed.pods
    for method in ("tcx", "clsact"):
        with far.serve(PORT), LiveCapture(on(testbed, attach_method=method)) as capture:
            assert set(capture.statistics().interfaces.values()) == {method}
            assert near.traffic("connect", far.ipv4, str(PORT)) == "ok"
            points = {int(head["subtype"]) for head in traces(capture)}
        assert points >= {ObservationPoint.FROM_ENDPOINT, ObservationPoint.TO_ENDPOINT}


@pytest.mark.live
def test_a_drop_tells_its_reason_place_and_time(testbed: Testbed) -> None:
    near, far = testbed.pods
    with LiveCapture(on(testbed, drops="all")) as capture:
        assert near.traffic("udp", far.ipv4, "9") == "refused"
        drops = [
            batch.payload(row)
            for batch in batches(capture)
            for row in range(len(batch))
            if batch.payload(row)[0] == MessageType.DROP
        ]
        start, end = DROP_HEAD.itemsize, DROP_HEAD.itemsize + EXTENSION.itemsize
        extensions = [np.frombuffer(drop[start:end], EXTENSION)[0] for drop in drops]
        found = [
            extension
            for extension in extensions
            if capture.reasons[int(extension["drop_reason"])] == "NO_SOCKET"
        ]
        assert found
        assert capture.symbol(int(found[0]["location"])).startswith(("__udp4_lib", "udp"))
        age_ns = time.time_ns() - (int(found[0]["time_ns"]) + capture.boot_offset_ns())
    assert 0 < age_ns < 60 * 10**9


@pytest.mark.live
def test_ignored_reasons_and_no_drops_at_all_are_silent(testbed: Testbed) -> None:
    near, far = testbed.pods
    for settings in (
        on(testbed, drops="all", ignored_drop_reasons=("NO_SOCKET", "NO_SUCH_REASON")),
        on(testbed, drops="off"),
    ):
        with LiveCapture(settings) as capture:
            near.traffic("udp", far.ipv4, "9")
            reasons = [
                int(
                    np.frombuffer(payload[40 : 40 + EXTENSION.itemsize], EXTENSION)["drop_reason"][
                        0
                    ]
                )
                for batch in batches(capture)
                for payload in map(batch.payload, range(len(batch)))
                if payload[0] == MessageType.DROP
            ]
            assert "NO_SOCKET" not in {capture.reasons[reason] for reason in reasons}


@pytest.mark.live
def test_interfaces_that_come_later_are_observed_until_they_go(testbed: Testbed) -> None:
    changes: list[set[str]] = []

    def note(links: Any) -> None:
        changes.append({link.name for link in links.values()})

    with LiveCapture(on(testbed), on_links=note) as capture:
        late = testbed.add_pod(f"pt-capture-late-{os.getpid()}")
        assert eventually(observes(capture, late.interface))
        index = socket.if_nametoindex(late.interface)
        assert eventually(lambda: capture.observed_links[index].is_endpoint)
        list(batches(capture))
        assert late.traffic("ping", testbed.pods[0].ipv4) == "ok"
        assert index in {int(head["ifindex"]) for head in traces(capture)}

        testbed.remove_pod(late.name)
        testbed.pods.remove(late)
        assert eventually(lambda: not observes(capture, late.interface)())
        assert map_lookup_interface(capture, index) is None
    assert {pod.interface for pod in testbed.pods} == changes[0]
    assert any(late.interface in names for names in changes)
    assert changes[-1] == changes[0]


def map_lookup_interface(capture: LiveCapture, ifindex: int) -> bytes | None:
    assert capture._opened is not None
    table: Any = capture._opened.observed._map
    return map_lookup(table._fd, ifindex.to_bytes(4, sys.byteorder), 4)


@pytest.mark.live
@pytest.mark.parametrize("method", ["tcx", "clsact"])
def test_a_paused_capture_sees_nothing_until_it_is_resumed(testbed: Testbed, method: str) -> None:
    near, far = testbed.pods
    with LiveCapture(on(testbed, drops="all", attach_method=method)) as capture:
        capture.pause()
        capture.pause()
        assert set(capture.statistics().interfaces.values()) == {method}
        list(batches(capture))
        before = capture.statistics().events
        assert near.traffic("ping", far.ipv4) == "ok"
        near.traffic("udp", far.ipv4, "9")
        late = testbed.add_pod(f"pt-capture-late-{os.getpid()}")
        assert eventually(observes(capture, late.interface))
        # Not even counted: no program ran.
        assert list(batches(capture)) == []
        assert capture.statistics().events == before

        capture.resume()
        capture.resume()
        index = socket.if_nametoindex(late.interface)
        assert late.traffic("ping", far.ipv4) == "ok"
        assert [int(head["ifindex"]) for head in traces(capture)].count(index) >= 2
        assert capture.statistics().failures == {}
        testbed.remove_pod(late.name)
        testbed.pods.remove(late)


@pytest.mark.live
def test_no_interface_at_all_is_fine() -> None:
    with LiveCapture(dataclasses.replace(EVERYTHING, interfaces=("no-such-*",))) as capture:
        assert capture.observed_links == {}
        assert capture.read(0.05) is None


@pytest.mark.live
def test_an_interface_that_fails_is_told_and_the_others_work(
    testbed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = testbed.pods

    def attach_to_one(programs: Any, link: Link, **options: Any) -> Any:
        if link.name == near.interface:
            raise CaptureError(f"attaching to {link.name}: made up")
        return attach(programs, link, **options)

    monkeypatch.setattr(capture_module, "attach", attach_to_one)
    with LiveCapture(on(testbed)) as capture:
        statistics = capture.statistics()
    assert set(statistics.interfaces) == {far.interface}
    assert statistics.failures == {near.interface: f"attaching to {near.interface}: made up"}


@pytest.mark.live
def test_a_flood_through_a_tiny_ring_is_received_or_counted(testbed: Testbed) -> None:
    near, far = testbed.pods
    settings = on(testbed, pages_per_cpu=1, coalesce_max_s=0.0)
    with LiveCapture(settings) as capture:
        flood(near, far.ipv4)
        received, lost = received_and_lost(capture)
        counts = capture.statistics().events["trace"]
    assert lost[LossKind.PERF_RING] == counts.lost > 0
    assert received == counts.emitted > 0
    assert counts.emitted + counts.lost >= 4 * 3000


@pytest.mark.live
def test_a_flood_beyond_the_rate_limit_is_withheld_and_counted(testbed: Testbed) -> None:
    near, far = testbed.pods
    settings = on(testbed, trace_rate_per_cpu=100, trace_burst_per_cpu=50)
    with LiveCapture(settings) as capture:
        flood(near, far.ipv4)
        received, lost = received_and_lost(capture)
        counts = capture.statistics().events["trace"]
    assert lost[LossKind.RATE_LIMIT] == counts.withheld > 0
    assert received == counts.emitted > 0


def flood(pod: Any, address: str) -> None:
    """Six thousand datagrams to a port where nobody listens, as fast as one process can."""
    program = f"""
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(6000):
                try:
                    sock.sendto(b"flood", ("{address}", 9))
                except ConnectionRefusedError:
                    pass
    """
    pod.run(sys.executable, "-c", textwrap.dedent(program))


def received_and_lost(capture: LiveCapture) -> tuple[int, dict[LossKind, int]]:
    """Payloads and losses until the last look for losses is over."""
    received = 0
    lost = dict.fromkeys(LossKind, 0)
    for batch in batches(capture, quiet_s=2.0):
        received += len(batch)
        for loss in batch.losses:
            lost[loss.kind] += loss.events
    return received, lost


@pytest.mark.live
def test_an_idle_capture_neither_wakes_nor_returns(testbed: Testbed) -> None:
    with LiveCapture(on(testbed)) as capture:
        testbed.pods[0].traffic("ping", testbed.pods[1].ipv4)
        # The pods' kernels send neighbour probes of their own seconds after any traffic.
        for _ in range(5):
            list(batches(capture, quiet_s=1.5))
            assert capture._opened is not None
            assert capture._opened.schedule.wait_s(0.0) is None
            timer = threading.Timer(0.3, capture.wake)
            timer.start()
            returned = capture.read(None)
            timer.join()
            if returned is None:
                return
            # The wake-up came after an event, and would end the next read.
            while capture.read(0) is not None:
                pass
        pytest.fail(f"an idle capture returned {returned}")


@pytest.mark.live
def test_an_error_while_opening_leaves_nothing(
    testbed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise CaptureError("made up")

    monkeypatch.setattr(attachment_module, "raw_tracepoint_open", refuse)
    threads = threading.active_count()
    capture = LiveCapture(on(testbed, drops="all", attach_method="clsact"))
    with pytest.raises(CaptureError, match="made up"):
        capture.open()
    assert threading.active_count() == threads
    assert remove_leftovers(indices(testbed)) == 0
    capture.close()


@pytest.mark.live
def test_capture_can_be_opened_again_but_not_twice(testbed: Testbed) -> None:
    capture = LiveCapture(on(testbed))
    capture.open()
    with pytest.raises(CaptureError, match="open already"):
        capture.open()
    capture.close()
    capture.close()
    capture.open()
    capture.close()


def indices(testbed: Testbed) -> list[int]:
    return [socket.if_nametoindex(pod.interface) for pod in testbed.pods]


@contextlib.contextmanager
def killed_capture(testbed: Testbed, method: str) -> Iterator[None]:
    """What is left of a capture in a process that was killed."""
    program = f"""
        import signal
        from palomar_bpf.capture import CaptureSettings, LiveCapture
        capture = LiveCapture(CaptureSettings(
            interfaces=("{testbed.interface_glob}",), attach_method="{method}", drops="off",
        ))
        capture.open()
        print("open", flush=True)
        signal.pause()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        process.send_signal(signal.SIGKILL)
    yield


@pytest.mark.live
def test_a_killed_capture_leaves_no_links(testbed: Testbed) -> None:
    with killed_capture(testbed, "tcx"):
        assert remove_leftovers(indices(testbed)) == 0
        with LiveCapture(on(testbed, attach_method="tcx")) as capture:
            testbed.pods[0].traffic("ping", testbed.pods[1].ipv4)
            assert len(traces(capture)) >= 4


@pytest.mark.live
def test_filters_of_a_capture_that_runs_stay_when_another_begins(testbed: Testbed) -> None:
    near, far = testbed.pods
    settings = on(testbed, attach_method="clsact")
    with LiveCapture(settings) as first, LiveCapture(settings) as second:
        assert near.traffic("ping", far.ipv4) == "ok"
        assert [len(pings(capture)) for capture in (first, second)] == [4, 4]
        second.close()
        assert near.traffic("ping", far.ipv4) == "ok"
        assert len(pings(first)) == 4


@pytest.mark.live
def test_filters_of_a_killed_capture_are_removed_by_the_next(testbed: Testbed) -> None:
    near, far = testbed.pods
    with killed_capture(testbed, "clsact"), LiveCapture(on(testbed)) as capture:
        assert remove_leftovers(indices(testbed)) == 0
        assert near.traffic("ping", far.ipv4) == "ok"
        requests = [
            head
            for head in pings(capture)
            if head["subtype"] == ObservationPoint.FROM_ENDPOINT
            and head["ifindex"] == socket.if_nametoindex(near.interface)
        ]
        assert len(requests) == 1
