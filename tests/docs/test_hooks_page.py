"""The example of the page about hooks is code that runs, and the page shows that code."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import IDENTITY_HOST, Endpoint
from palomar_server.hooks import FlowBatch, Hooks
from palomar_server.hooks import points as hook_points
from palomar_server.hooks.testing import FakeServer
from palomar_server.testing import flow_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_server.table import Rows

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "hooks.md").read_text(encoding="utf-8")
EXAMPLE = DOCS / "examples" / "acme_hooks"
ENTRY_POINTS = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "entry-points"
]["palomar.hooks"]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(EXAMPLE)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_hooks"]:
        del sys.modules[name]


@pytest.fixture
def server() -> FakeServer:
    """Row 1 is the pod shop/web, row 2 the pod shop/db, row 3 an address without a pod."""
    server = FakeServer()
    endpoints = server.core.surroundings.endpoints
    for number, name in enumerate(("web", "db", "")):
        endpoint = Endpoint(namespace="shop", pod_name=name, identity=100 + number)
        endpoints.upsert(f"test:{number}", endpoint, [f"192.0.2.{number}"], 1)
    return server


def loaded_by_settings() -> Hooks:
    hooks = Hooks()
    hooks.load(ENTRY_POINTS.values())
    return hooks


def dropped(sources: list[int], destinations: list[int]) -> Rows:
    return flow_rows(
        len(sources),
        verdict=flow_pb2.DROPPED,
        source_endpoint=sources,
        destination_endpoint=destinations,
    )


def run(hooks: Hooks, server: FakeServer, rows: Rows, *flows: flow_pb2.Flow) -> Rows:
    messages = [flow.SerializeToString() for flow in flows]
    return hooks.decoded_flow.run(FlowBatch(rows, server.core.encoder, messages)).rows


def drops(server: FakeServer, pod: str, role: str, namespace: str = "shop") -> float | None:
    labels = {"namespace": namespace, "pod": pod, "role": role}
    return server.registry.get_sample_value("acme_pod_drops_total", labels)


def test_drops_are_counted_by_pod(server: FakeServer) -> None:
    hooks = loaded_by_settings()
    hooks.server_init.run(server)
    assert len(run(hooks, server, dropped([1, 1, 2, 0], [2, 3, 3, 3]))) == 4
    run(hooks, server, flow_rows(5, source_endpoint=1))
    run(hooks, server, dropped([1], [0]))
    assert (drops(server, "web", "source"), drops(server, "db", "source")) == (3, 1)
    assert (drops(server, "web", "destination"), drops(server, "db", "destination")) == (None, 1)


def test_pods_beyond_the_limit_are_counted_together(server: FakeServer) -> None:
    hook = importlib.import_module("acme_hooks.drops").DropsByPod(pods_max=1)
    hooks = Hooks()
    hooks.register(hook, "drops")
    hooks.server_init.run(server)
    run(hooks, server, dropped([1, 2, 2], [0, 0, 0]))
    assert (drops(server, "web", "source"), drops(server, "db", "source")) == (1, None)
    assert drops(server, "others", "source", namespace="") == 2


def test_probes_are_stopped_by_port_in_both_directions(server: FakeServer) -> None:
    rows = flow_rows(
        5,
        source_identity=[IDENTITY_HOST, 100, IDENTITY_HOST, 100, IDENTITY_HOST],
        destination_identity=[100, IDENTITY_HOST, 100, 101, 100],
        source_port=[40_000, 8081, 40_000, 40_000, 40_000],
        destination_port=[8081, 40_000, 80, 8081, 8081],
        verdict=[flow_pb2.FORWARDED] * 4 + [flow_pb2.DROPPED],
    )
    hooks = loaded_by_settings()
    hooks.server_init.run(server)
    left = run(hooks, server, rows)
    assert left["time_ns"].tolist() == rows["time_ns"][2:].tolist()


def http(url: str, verdict: flow_pb2.Verdict.ValueType = flow_pb2.FORWARDED) -> flow_pb2.Flow:
    l7 = flow_pb2.Layer7(type=flow_pb2.REQUEST, http=flow_pb2.HTTP(method="GET", url=url))
    return flow_pb2.Flow(l7=l7, verdict=verdict)


def test_probes_are_stopped_by_path(server: FakeServer) -> None:
    flows = [
        http("http://192.0.2.1:8080/healthz?verbose"),
        http("/readyz"),
        http("/readyz", flow_pb2.DROPPED),
        http("/index.html"),
    ]
    hooks = loaded_by_settings()
    hooks.server_init.run(server)
    left = run(hooks, server, flow_rows(5, message=[0, 1, 2, 3, 4]), *flows)
    assert left["message"].tolist() == [0, 3, 4]


def test_the_example_loads_as_an_installed_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer
) -> None:
    metadata = tmp_path / "acme_hooks-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-hooks\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in ENTRY_POINTS.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[palomar.hooks]", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)
    hooks = Hooks()
    hooks.load_entry_points()
    assert list(hooks.decoded_flow.figures()) == sorted(ENTRY_POINTS)
    hooks.server_init.run(server)
    run(hooks, server, dropped([1], [2]))
    assert drops(server, "web", "source") == 1


@pytest.mark.parametrize("path", ["drops.py", "health_checks.py"])
def test_the_page_shows_the_code_of_the_example(path: str) -> None:
    code = (EXAMPLE / "acme_hooks" / path).read_text(encoding="utf-8")
    assert f"```python\n{code}```\n" in PAGE


def test_the_page_names_every_point_and_entry_point() -> None:
    for name in vars(hook_points):
        if name.startswith("On"):
            assert f"`{name}`" in PAGE
    for name, value in ENTRY_POINTS.items():
        assert f'{name} = "{value}"' in PAGE


def test_short_examples_of_the_page_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    short = [block for block in blocks if not block.startswith('"""')]
    assert short
    for block in short:
        exec(compile(block, "hooks.md", "exec"), {})  # noqa: S102 - our own page
