"""The portal of docs/examples is a short program that works against a real palomard."""

from __future__ import annotations

import contextlib
import html
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from palomar import Client
from palomar_server.samples import DEMO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "portal.py"
BIN = Path(sys.executable).parent
DEADLINE_S = 20.0
LINES_MAX = 40
SAMPLE_FLOWS = 39


@pytest.fixture(scope="module")
def palomard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A daemon that has played the bundled sample; its address."""
    path = tmp_path_factory.mktemp("palomard") / "palomar.sock"
    command = [str(BIN / "palomard"), "--socket", str(path), "--replay", str(DEMO)]
    with running([*command, "--speed", "max"]):
        wait_for(path.exists)
        with Client(f"unix:{path}") as client:
            wait_for(lambda: client.summarize().total.flows >= SAMPLE_FLOWS)
        yield f"unix:{path}"


@pytest.fixture(scope="module")
def portal(palomard: str) -> Iterator[int]:
    """The example, serving; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with running([sys.executable, str(EXAMPLE), palomard, str(port)]):
        wait_for(lambda: answers(port))
        yield port


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            yield
        finally:
            process.terminate()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == os.EX_OK


@contextlib.contextmanager
def page(port: int, query: str) -> Iterator[http.client.HTTPResponse]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, DEADLINE_S)) as visit:
        visit.request("GET", f"/?{query}")
        yield visit.getresponse()


def test_it_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < LINES_MAX


def test_it_shows_who_talks_to_whom_and_each_flow(portal: int) -> None:
    with page(portal, "verdict=dropped") as response:
        assert response.status == http.HTTPStatus.OK
        lines: list[str] = []
        while len(lines) < 2:
            lines.append(html.unescape(response.readline().decode()))
    summary, flow = lines
    assert "<td>default/client<td>default/web<td>DROPPED<td>NETFILTER_DROP<td>" in summary
    assert "Lost events: 0" in summary
    found = re.search("<li>(.*)", summary + flow)
    assert found
    assert "-> default/" in found[1]
    assert "DROPPED" in found[1]


@pytest.mark.parametrize("query", ["verdict=nonsense", "nonsense=1"])
def test_it_says_what_a_query_lacks(portal: int, query: str) -> None:
    with page(portal, query) as response:
        assert response.status == http.HTTPStatus.BAD_REQUEST
        assert "nonsense" in response.read().decode()
