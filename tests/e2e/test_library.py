"""What the library asks and a real palomard answers, on the bundled sample of recorded events."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import palomar
from palomar_server.samples import DEMO

from .conftest import Palomard, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEN = [
    json.loads(line)["flow"]
    for line in Path(__file__).with_name("demo_flows.jsonl").read_text().splitlines()
]
DROPS = [flow for flow in SEEN if flow["verdict"] == "DROPPED"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Palomard]:
    folder = tmp_path_factory.mktemp("palomard")
    arguments = ("--replay", str(DEMO), "--speed", "max", "--node-name", "demo")
    daemon = Palomard(folder / "palomar.sock", arguments, folder / "log")
    daemon.start()
    with palomar.Client(f"unix:{daemon.socket}") as client:
        eventually(lambda: client.summarize().total.flows == len(SEEN))
    yield daemon
    daemon.stop()


@pytest.fixture
def client(daemon: Palomard) -> Iterator[palomar.Client]:
    with palomar.Client(f"unix:{daemon.socket}") as client:
        yield client


def test_flows_hints_and_summary_agree(client: palomar.Client) -> None:
    flows = [palomar.FlowView(flow) for flow in client.observe(verdict="drop", all=True)]
    assert len(flows) == len(DROPS)
    assert all(flow.dropped for flow in flows)
    hints = client.hints("drop-reason", verdict="drop").hints
    assert {hint.value: hint.flows for hint in hints} == {
        reason: sum(flow.drop_reason == reason for flow in flows)
        for reason in {flow.drop_reason for flow in flows}
    }
    summary = client.summarize("from-pod", "drop-reason", verdict="drop", histogram=True, top=100)
    assert sum(group.totals.flows for group in summary.groups) == len(DROPS)
    assert sum(bucket.flows for bucket in summary.histogram.buckets) == len(DROPS)
    told = {tuple(group.values) for group in summary.groups}
    assert told == {(flow.source.pod, flow.drop_reason) for flow in flows}


def test_filters_of_hints_and_summaries_are_those_of_observe(client: palomar.Client) -> None:
    for chosen in (
        palomar.Filter(pod="web"),
        palomar.Filter(protocol="tcp") & ~palomar.Filter(verdict="drop"),
        palomar.Filter(port=80) | palomar.Filter(type="drop"),
    ):
        observed = len(list(client.observe(chosen, all=True)))
        assert 0 < observed < len(SEEN)
        assert client.summarize(filters=[chosen]).total.flows == observed
        excluded = client.summarize(exclude=[chosen]) if not chosen.deny else None
        assert excluded is None or excluded.total.flows == len(SEEN) - observed


def test_drops_are_explained_by_flow_uuid_and_filter(client: palomar.Client) -> None:
    last = list(client.observe(verdict="drop"))[-1]
    for answer in (client.explain(last), client.explain(last.uuid), client.explain(verdict="drop")):
        assert answer.flow.uuid == last.uuid
        assert answer.reason == palomar.FlowView(last).drop_reason
        assert answer.headline
    with pytest.raises(palomar.InvalidRequest):
        client.explain("00000000-0000-0000-0000-000000000000")


def test_the_server_tells_of_itself(client: palomar.Client) -> None:
    assert client.health() is palomar.Health.SERVING
    assert client.status().num_flows >= len(SEEN)
    assert client.server_version
    assert client.server_version.node
    assert [one.namespace for one in client.namespaces().namespaces] == ["default"]
    with pytest.raises(palomar.Unsupported, match="not a relay"), client.watch_peers() as peers:
        next(iter(peers))
    with pytest.raises(palomar.Unsupported, match="only a relay"):
        client.nodes()


async def test_asyncio_client_gets_the_same(daemon: Palomard) -> None:
    server = f"unix:{daemon.socket}"
    async with asyncio.timeout(30), palomar.AsyncClient(server) as other:
        flows = [flow async for flow in other.observe(all=True)]
        hints, summary, explanation = await asyncio.gather(
            other.hints("pod"), other.summarize("pod"), other.explain()
        )
    with palomar.Client(server) as client:
        assert flows == list(client.observe(all=True))
        assert (hints, summary) == (client.hints("pod"), client.summarize("pod"))
        assert explanation == client.explain()


def test_without_batches_the_flows_are_the_same(daemon: Palomard, client: palomar.Client) -> None:
    with palomar.Client(f"unix:{daemon.socket}", batches=False) as other:
        assert list(other.observe(all=True)) == list(client.observe(all=True))
