"""Flows and responses that the client's tests share, and the recorded output of Hubble's tool."""

import json
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from palomar_proto.observer.observer_pb2 import GetFlowsResponse


@pytest.fixture(autouse=True)
def _no_color_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def loss() -> GetFlowsResponse:
    return ParseDict(
        {
            "lost_events": {"source": "PERF_EVENT_RING_BUFFER", "num_events_lost": 7, "cpu": 3},
            "node_name": "default/node-1",
            "time": "2024-03-05T10:20:31Z",
        },
        GetFlowsResponse(),
    )


@pytest.fixture
def nodes_down() -> GetFlowsResponse:
    return ParseDict(
        {
            "node_status": {"state_change": "NODE_UNAVAILABLE", "node_names": ["west/n9"]},
            "time": "2024-03-05T10:20:32Z",
        },
        GetFlowsResponse(),
    )


@pytest.fixture
def recorded(shared: Path) -> Callable[[str], list[GetFlowsResponse]]:
    """Read a file of responses that the recorded runs printed."""
    return lambda name: _responses(shared / "conformance" / "cli" / name)


@lru_cache
def _responses(path: Path) -> list[GetFlowsResponse]:
    with path.open(encoding="utf-8") as lines:
        return [ParseDict(json.loads(line), GetFlowsResponse()) for line in lines]


@pytest.fixture
def plain_environment() -> dict[str, str]:
    """An environment for a program of its own, without settings of this machine's user."""
    kept = ("PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}
