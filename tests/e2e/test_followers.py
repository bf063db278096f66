"""Many followers of live traffic: each gets what its filters say, a slow one learns its loss."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
import yaml

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.matcher import compile_lists
from palomar_proto.observer import observer_pb2, observer_pb2_grpc

from .conftest import DEADLINE_S, Palomard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from palomar_bpf.testbed import Pod, Testbed

pytestmark = pytest.mark.live

FOLLOWERS = 100
OPEN_PORT, CLOSED_PORT, DROPPED_PORT = 80, 81, 8080
QUIET_S = 1.0
"""For the last flows of traffic to come, and for such that should not."""
RATE, DURATION_S = 2_000, 4.0
"""Of the flood; each datagram passes two interfaces, and is dropped where nobody listens."""
RING_CAPACITY = 8_191
"""A second of the flood: enough for whoever reads, and a third of what others would need."""
SEQUENCE_BITS = 48
"""Of the number at the end of a uuid."""


@pytest.fixture
def daemon(palomard: Callable[..., Palomard], testbed: Testbed, tmp_path: Path) -> Palomard:
    """A palomard that knows labels and workloads of the pods."""
    inventory = tmp_path / "inventory.yaml"
    pods = [
        {
            "name": pod.name,
            "namespace": "shop",
            "ips": [pod.ipv4, pod.ipv6],
            "labels": {"app": app, "tier": tier},
            "workloads": [{"name": app, "kind": "Deployment"}],
        }
        for pod, app, tier in zip(testbed.pods, ("web", "client"), ("front", "test"), strict=True)
    ]
    names = {testbed.pods[0].ipv4: ["web.example.com"]}
    inventory.write_text(yaml.safe_dump({"pods": pods, "names": names}))
    return palomard(
        *("--interface", testbed.interface_glob, "--drops", "watched", "--aggregation", "none"),
        *("--inventory", str(inventory), "--ring-capacity", str(RING_CAPACITY)),
        *("--pages-per-cpu", "1024"),
    )


def single_filters(web: Pod, client: Pod) -> Iterator[flow_pb2.FlowFilter]:
    """One filter for each way in which a flow of this traffic can be told from others."""
    fields: dict[str, list[Any]] = {
        "source_pod": [f"shop/{web.name}", f"/{client.name}", "shop/"],
        "destination_pod": [f"shop/{web.name[:6]}", "default/nobody"],
        "source_label": ["app=web", "k8s:tier in (front, test)", "tier!=front", "!app"],
        "destination_label": ["app notin (web)"],
        "source_workload": [flow_pb2.Workload(name="web"), flow_pb2.Workload(kind="Deployment")],
        "source_ip": [client.ipv4, "198.18.0.0/15", "2001:db8::/32"],
        "destination_ip": [f"{web.ipv4}/32"],
        "destination_fqdn": ["web.example.com", "*.example.com"],
        "source_port": [str(OPEN_PORT)],
        "destination_port": [str(OPEN_PORT), str(CLOSED_PORT), str(DROPPED_PORT)],
        "protocol": ["tcp", "udp", "icmp", "icmpv6"],
        "verdict": [flow_pb2.FORWARDED, flow_pb2.DROPPED],
        "traffic_direction": [flow_pb2.INGRESS, flow_pb2.EGRESS],
        "reply": [True, False],
        "ip_version": [flow_pb2.IPv4, flow_pb2.IPv6],
        "interface": [flow_pb2.NetworkInterface(name=web.interface)],
        "tcp_flags": [flow_pb2.TCPFlags(SYN=True), flow_pb2.TCPFlags(SYN=True, ACK=True)],
        "event_type": [
            flow_pb2.EventTypeFilter(type=1),
            flow_pb2.EventTypeFilter(type=4, match_sub_type=True, sub_type=0),
        ],
        "node_name": ["*"],
        "source_identity": [2],
    }
    for field, values in fields.items():
        for value in values:
            one = flow_pb2.FlowFilter()
            getattr(one, field).extend([value])
            yield one
    for expression in (
        "_flow.verdict == Verdict.DROPPED",
        f"_flow.l4.TCP.destination_port == uint({OPEN_PORT}) && _flow.is_reply == false",
    ):
        yield flow_pb2.FlowFilter(
            experimental=flow_pb2.FlowFilter.Experimental(cel_expression=[expression])
        )


def requests(web: Pod, client: Pod) -> list[observer_pb2.GetFlowsRequest]:
    """Each filter by itself, turned around, and together with its neighbours."""
    singles = list(single_filters(web, client))
    made = [observer_pb2.GetFlowsRequest(whitelist=[one]) for one in singles]
    made += [observer_pb2.GetFlowsRequest(blacklist=[one]) for one in singles]
    for first, second in pairwise(singles):
        both = flow_pb2.FlowFilter()
        both.MergeFrom(first)
        both.MergeFrom(second)
        made.append(observer_pb2.GetFlowsRequest(whitelist=[both]))
        made.append(observer_pb2.GetFlowsRequest(whitelist=[first], blacklist=[second]))
    assert len(made) >= FOLLOWERS
    return made[:FOLLOWERS]


class Follower:
    """A stream, and what it has got."""

    def __init__(
        self, stub: observer_pb2_grpc.ObserverAsyncStub, request: observer_pb2.GetFlowsRequest
    ) -> None:
        self.request = request
        self.flows: list[flow_pb2.Flow] = []
        self.losses: list[flow_pb2.LostEvent] = []
        self.may_read = asyncio.Event()
        self._stream = stub.GetFlows(request)

    async def read(self) -> None:
        """Read until the stream ends."""
        await self.may_read.wait()
        try:
            async for response in self._stream:
                if response.HasField("flow"):
                    self.flows.append(response.flow)
                elif response.lost_events.source == flow_pb2.HUBBLE_RING_BUFFER:
                    self.losses.append(response.lost_events)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.CANCELLED  # noqa: PT017 - the end of each

    def cancel(self) -> None:
        self._stream.cancel()

    @property
    def uuids(self) -> list[str]:
        return [flow.uuid for flow in self.flows]

    @property
    def sequences(self) -> list[int]:
        return [int(uuid[-12:], 16) & (1 << SEQUENCE_BITS) - 1 for uuid in self.uuids]


async def connected(daemon: Palomard) -> AsyncIterator[observer_pb2_grpc.ObserverAsyncStub]:
    # No more is to lie in between than the window that HTTP/2 begins with.
    options = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(f"unix:{daemon.socket}", options=options) as channel:
        yield observer_pb2_grpc.ObserverStub(channel)


async def quiet(follower: Follower) -> None:
    """Wait until no more flows have come for a while."""
    deadline_s = time.monotonic() + DEADLINE_S
    before = -1
    while before != len(follower.flows):
        assert time.monotonic() < deadline_s, "flows do not stop coming"
        before = len(follower.flows)
        await asyncio.sleep(QUIET_S)


def make_traffic(web: Pod, client: Pod) -> None:
    web.drop_port(DROPPED_PORT)
    with web.serve(OPEN_PORT):
        for address in (web.ipv4, web.ipv6):
            assert client.traffic("connect", address, str(OPEN_PORT)) == "ok"
            assert client.traffic("udp", address, str(OPEN_PORT)) == "ok"
            assert client.traffic("ping", address) == "ok"
            assert client.traffic("connect", address, str(CLOSED_PORT)) == "refused"
            assert client.traffic("connect", address, str(DROPPED_PORT)) == "timeout"


async def test_each_of_many_followers_gets_exactly_the_flows_of_its_filters(
    daemon: Palomard, testbed: Testbed
) -> None:
    web, client = testbed.pods
    async for stub in connected(daemon):
        started_ns = time.time_ns()
        wanted = [observer_pb2.GetFlowsRequest(), *requests(web, client)]
        for request in wanted:
            # Whichever stream is the last to open misses nothing.
            request.follow = True
            request.since.FromNanoseconds(started_ns)
        everything, *others = [Follower(stub, request) for request in wanted]
        async with asyncio.TaskGroup() as tasks:
            for follower in (everything, *others):
                follower.may_read.set()
                tasks.create_task(follower.read())
            await asyncio.to_thread(make_traffic, web, client)
            await quiet(everything)
            for follower in (everything, *others):
                follower.cancel()
    assert {flow.verdict for flow in everything.flows} == {flow_pb2.FORWARDED, flow_pb2.DROPPED}
    assert len(set(everything.uuids)) == len(everything.uuids)
    sizes = set()
    for follower in others:
        request = follower.request
        matching = compile_lists(request.whitelist, request.blacklist)
        expected = [flow.uuid for flow in everything.flows if matching.matches(flow)]
        assert follower.uuids == expected, str(request)
        assert not follower.losses
        sizes.add(len(expected))
    # Filters that all select the same would prove little.
    assert len(sizes) > FOLLOWERS // 4


async def test_follower_that_does_not_read_learns_its_loss_while_others_lose_nothing(
    daemon: Palomard, testbed: Testbed
) -> None:
    web, client = testbed.pods
    async for stub in connected(daemon):
        request = observer_pb2.GetFlowsRequest(follow=True)
        request.since.FromNanoseconds(time.time_ns())
        drops = observer_pb2.GetFlowsRequest(
            whitelist=[flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])]
        )
        drops.MergeFrom(request)
        reader, reader_of_drops = Follower(stub, request), Follower(stub, drops)
        # A connection of its own: what it does not read must not lie in the way of others.
        async for stub_of_slow in connected(daemon):
            slow = Follower(stub_of_slow, request)
            async with asyncio.TaskGroup() as tasks:
                for follower in (reader, reader_of_drops, slow):
                    tasks.create_task(follower.read())
                reader.may_read.set()
                reader_of_drops.may_read.set()
                flood = ("flood", web.ipv4, "9", str(RATE), str(DURATION_S))
                sent = int(await asyncio.to_thread(client.traffic, *flood))
                await quiet(reader)
                slow.may_read.set()
                await quiet(slow)
                for follower in (reader, reader_of_drops, slow):
                    follower.cancel()
    assert not reader.losses
    assert not reader_of_drops.losses
    assert len(reader.flows) >= 3 * sent
    dropped = [flow.uuid for flow in reader.flows if flow.verdict == flow_pb2.DROPPED]
    assert reader_of_drops.uuids == dropped
    # It lost one piece, of which it was told once; numbers count events that are no flows too.
    [loss] = slow.losses
    numbers = slow.sequences
    gap_begin, gap_end = max(pairwise(numbers), key=lambda pair: pair[1] - pair[0])
    assert loss.num_events_lost == gap_end - gap_begin - 1
    missed = [number for number in reader.sequences if gap_begin < number < gap_end]
    assert len(missed) > sent
    assert sorted([*numbers, *missed]) == reader.sequences
