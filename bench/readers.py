"""Clients that follow, in a process of their own.

    python -m bench.readers --socket PATH [--filters JSON] [--delays]

One stream for each keyword object of the JSON list: several in one event loop, a single one by the
synchronous client. It says `ready` once all
of them are served, and when its standard input is closed one line of JSON: flows, losses and delays
of each stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from palomar import AsyncClient, Client

if TYPE_CHECKING:
    from palomar import AsyncFlowStream

_NS_PER_S = 1_000_000_000
_START_S = 0.5


@dataclass(slots=True)
class Received:
    """What one stream got."""

    flows: int = 0
    lost: int = 0
    delays_ns: list[int] = field(default_factory=list)
    """From an event's time to here, where these are kept."""


async def _read(stream: AsyncFlowStream, received: Received, *, delays: bool) -> None:
    async for flow in stream:
        received.flows += 1
        if delays:
            now_ns = time.time_ns()
            received.delays_ns.append(now_ns - flow.time.seconds * _NS_PER_S - flow.time.nanos)


async def follow(server: str, filters: list[dict[str, Any]], *, delays: bool) -> list[Received]:
    """Follow with each of the filters until standard input is closed."""
    received = [Received() for _ in filters]
    async with AsyncClient(server) as client, asyncio.TaskGroup() as tasks:
        streams = [client.observe(follow=True, **keywords) for keywords in filters]
        reading = [
            tasks.create_task(_read(stream, one, delays=delays))
            for stream, one in zip(streams, received, strict=True)
        ]
        await client.status()
        await asyncio.sleep(_START_S)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for stream, one in zip(streams, received, strict=True):
            one.lost = stream.lost_events
            stream.close()
        for task in reading:
            task.cancel()
    return received


def follow_one(server: str, keywords: dict[str, Any], *, delays: bool) -> Received:
    """Follow with one filter, likewise."""
    received = Received()
    with Client(server) as client, client.observe(follow=True, **keywords) as stream:

        def close_at_end() -> None:
            sys.stdin.read()
            stream.close()

        threading.Timer(_START_S, print, ("ready",), {"flush": True}).start()
        threading.Thread(target=close_at_end).start()
        for flow in stream:
            received.flows += 1
            if delays:
                now_ns = time.time_ns()
                received.delays_ns.append(now_ns - flow.time.seconds * _NS_PER_S - flow.time.nanos)
        received.lost = stream.lost_events
    return received


def main() -> None:
    """Follow until standard input is closed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--filters", default="[{}]")
    parser.add_argument("--delays", action="store_true")
    options = parser.parse_args()
    server, filters = f"unix:{options.socket}", json.loads(options.filters)
    received = (
        [follow_one(server, *filters, delays=options.delays)]
        if len(filters) == 1
        else asyncio.run(follow(server, filters, delays=options.delays))
    )
    print(json.dumps([asdict(one) for one in received]), flush=True)


if __name__ == "__main__":
    main()
