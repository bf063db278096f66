import subprocess
import sys

import pytest

ASYNC_CLIENT = """
import asyncio
import palomar

async def ask():
    async with palomar.AsyncClient("unix:/nowhere", connect_timeout_s=0.2) as client:
        try:
            await client.status()
        except palomar.ServerUnavailable:
            print("unavailable")

asyncio.run(ask())
"""


def run(program: str) -> list[str]:
    """Run a program in a new interpreter that has deferred asyncio, and give the lines it says."""
    start = "import sys\nfrom palomar.grpc_import import defer_asyncio\ndefer_asyncio()\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", start + program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_grpc_comes_without_asyncio() -> None:
    program = """
import grpc
print([name for name in ("asyncio", "grpc.aio", "ssl", "subprocess") if name in sys.modules])
print(hasattr(grpc, "aio"), grpc.insecure_channel.__module__)
"""
    assert run(program) == ["[]", "False grpc"]


def test_grpc_works_without_asyncio() -> None:
    program = """
import palomar
with palomar.Client("unix:/nowhere", connect_timeout_s=0.2) as client:
    try:
        client.status()
    except palomar.ServerUnavailable:
        print("unavailable", "asyncio" in sys.modules)
"""
    assert run(program) == ["unavailable False"]


def test_asyncio_and_its_half_of_grpc_come_when_asked_for() -> None:
    assert run(f"import grpc\n{ASYNC_CLIENT}") == ["unavailable"]
    assert run(ASYNC_CLIENT) == ["unavailable"]
    assert run("import grpc.aio\nprint(grpc.aio.insecure_channel.__module__)") == [
        "grpc.aio._channel"
    ]
    assert run("import grpc\nfrom grpc import aio\nprint(aio.Channel.__module__)") == [
        "grpc.aio._base_channel"
    ]


@pytest.mark.parametrize("first", ["import asyncio", "import grpc, asyncio\ndefer_asyncio()"])
def test_nothing_is_deferred_where_asyncio_or_grpc_is_loaded(first: str) -> None:
    program = """
import grpc.aio
print(grpc.aio.insecure_channel.__module__, grpc.aio._call.asyncio is asyncio)
"""
    assert run(first + program) == ["grpc.aio._channel True"]


def test_a_core_that_asks_for_asyncio_gets_it() -> None:
    program = """
from palomar.grpc_import import _StandIn
stand_in = _StandIn("asyncio")
print(stand_in.Queue.__module__, hasattr(stand_in, "__path__"), "asyncio" in sys.modules)
"""
    assert run(program) == ["asyncio.queues False True"]
