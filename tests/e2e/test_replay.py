"""Recording and replay: the same file in, the same flows out, the same that were seen live."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from palomar_server.samples import DEMO

from .conftest import Flow, Palomard, eventually

if TYPE_CHECKING:
    from palomar_bpf.testbed import Testbed

SEEN_LIVE = Path(__file__).with_name("demo_flows.jsonl")
Start = Callable[..., Palomard]


def of_any_run(flows: list[Flow]) -> list[Flow]:
    """What is the same whenever, and with whatever version, the flows were made."""
    own = {"uuid", "emitter"}
    return [{name: value for name, value in flow.items() if name not in own} for flow in flows]


def replayed(palomard: Start, path: Path, expected: int) -> list[Flow]:
    daemon = palomard("--replay", str(path), "--speed", "max")
    eventually(lambda: len(daemon.flows()) >= expected)
    flows = daemon.flows()
    daemon.stop()
    return of_any_run(flows)


def test_bundled_sample_plays_the_flows_that_were_seen_live(palomard: Start) -> None:
    lines = SEEN_LIVE.read_text().splitlines()
    live = of_any_run([json.loads(line)["flow"] for line in lines])
    first = replayed(palomard, DEMO, len(live))
    assert first == live
    assert replayed(palomard, DEMO, len(live)) == first


def test_bundled_sample_holds_the_traffic_of_the_demo_only() -> None:
    flows = [json.loads(line)["flow"] for line in SEEN_LIVE.read_text().splitlines()]
    assert {flow["source"].get("pod_name") for flow in flows} == {"web", "client"}
    summaries = " ".join(flow["Summary"] for flow in flows)
    assert "; NO_SOCKET at " in summaries
    assert "; NETFILTER_DROP at " in summaries


@pytest.mark.live
def test_recording_plays_what_was_seen_while_it_was_made(
    palomard: Start, testbed: Testbed, tmp_path: Path
) -> None:
    web, client = testbed.pods
    path = tmp_path / "recorded.events"
    daemon = palomard(
        *("--interface", testbed.interface_glob, "--drops", "watched", "--node-name", "demo"),
        *("--record-events", str(path)),
    )
    with web.serve(80):
        for arguments in (("connect", "80"), ("connect", "81"), ("udp", "81")):
            client.traffic(arguments[0], web.ipv4, arguments[1])
            client.traffic(arguments[0], web.ipv6, arguments[1])
    eventually(lambda: len(daemon.flows("--all", "--verdict", "drop")) >= 4)
    daemon.palomar("observe", "--all")
    live = of_any_run(daemon.flows())
    assert daemon.stop() == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert replayed(palomard, path, len(live))[: len(live)] == live
