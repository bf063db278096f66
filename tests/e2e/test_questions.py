"""Questions to a real palomard by the installed tool: explain, summary, top, hints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from palomar_server.samples import DEMO

from .conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Palomard


@pytest.fixture
def daemon(palomard: Callable[..., Palomard]) -> Palomard:
    daemon = palomard("--replay", str(DEMO), "--speed", "max")
    eventually(lambda: len(daemon.flows("--all", "--verdict", "drop")) >= 3)
    return daemon


def test_drops_are_explained_among_the_flows(daemon: Palomard) -> None:
    shown = daemon.palomar("observe", "--all", "--verdict", "drop", "--explain").stdout
    causes = [line for line in shown.splitlines() if line.startswith("    cause: ")]
    assert len(causes) == 3
    assert any("firewall" in line for line in causes)
    assert any("no listener" in line for line in causes)


def test_one_drop_is_explained_at_length(daemon: Palomard) -> None:
    flow = daemon.flows("--all", "--port", "81", "--verdict", "drop")[-1]
    by_uuid = daemon.palomar("explain", flow["uuid"]).stdout
    by_filter = daemon.palomar("explain", "--port", "81").stdout
    assert by_uuid == by_filter
    assert "Cause: no listener" in by_uuid
    assert "Check next:" in by_uuid


def test_counts_are_those_of_the_flows(daemon: Palomard) -> None:
    flows = daemon.flows("--all", "--verdict", "drop")
    answer = json.loads(
        daemon.palomar("summary", "--verdict", "drop", "--by", "to-port", "-o", "json").stdout
    )
    assert int(answer["total"]["flows"]) == len(flows)
    shown = daemon.palomar("summary", "--verdict", "drop", "--by", "to-port", "--histogram").stdout
    assert shown.startswith("TO-PORT")
    top = daemon.palomar("top", "drop-reason", "--window", "87600h", "--once").stdout
    assert [line.split()[:2] for line in top.splitlines()[1:]] == [
        ["NETFILTER_DROP", "2"],
        ["NO_SOCKET", "1"],
    ]


def test_a_pod_that_nobody_has_seen_is_pointed_out(daemon: Palomard) -> None:
    assert "default/web" in daemon.palomar("hints", "pod").stdout
    shown = daemon.palomar("observe", "--pod", "wbe")
    assert shown.stdout == ""
    assert "no pod matches wbe" in shown.stderr
    assert "default/web" in shown.stderr
