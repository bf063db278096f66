"""Each block of code of docs/library.md runs, and prints what the page promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import palomar
from palomar.fake_recordings import FakeRecordings
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import (
    GetNamespacesResponse,
    Namespace,
    ServerStatusResponse,
)
from palomar_proto.palomar.v1.explanation_pb2 import ExplainResponse
from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse, Hint
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_END_PACKETS,
    PacketCount,
    RecordingCounts,
)
from palomar_proto.palomar.v1.summary_pb2 import SummarizeResponse, SummaryGroup
from palomar_proto.peer.peer_pb2 import ChangeNotification

PAGE = Path(__file__).resolve().parents[2] / "docs" / "library.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PRINTED = (
    "web-0 ->  TCP Flags: SYN",
    "NETFILTER_DROP nft_do_chain",
    "lost 0 events; go on behind b'",
    "shop/web-0 7",
    "shop/web-0 db NETFILTER_DROP 0",
    "there were flows before 1970",
    "the headline",
    "2 packets so far",
    "palomar-00000000 1 lost",
    "drops.pcapng",
    "2 packets in all",
    "3 of 7 flows, version 1.19.4",
    "['shop']",
    "node-1",
    "only a relay knows the nodes",
)


@pytest.fixture
def server() -> FakeObserver:
    flow = make_response(
        verdict="DROPPED", drop_reason_desc=1014, file={"name": "nft_do_chain"}, uuid="u"
    )
    return FakeObserver(
        [flow] * 3,
        status=ServerStatusResponse(num_flows=3, max_flows=7),
        namespaces=GetNamespacesResponse(namespaces=[Namespace(namespace="shop")]),
        peers=[ChangeNotification(name="node-1")],
        hints=FilterHintsResponse(hints=[Hint(value="shop/web-0", flows=7)]),
        summary=SummarizeResponse(
            groups=[SummaryGroup(values=["shop/web-0", "db", "NETFILTER_DROP"])]
        ),
        explanation=ExplainResponse(headline="the headline"),
        recordings=FakeRecordings(
            file=b"packets",
            counts=[
                RecordingCounts(
                    written=PacketCount(packets=2), lost_perf_ring=PacketCount(packets=1)
                )
            ],
            end=RECORDING_END_PACKETS,
        ),
        headers={"hubble-server-version": "1.19.4"},
    )


def test_every_block_runs(
    server: FakeObserver,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with server:
        for block in BLOCKS:
            code = block.replace("unix:/run/palomar/palomar.sock", server.target)
            exec(compile(code, PAGE, "exec"), names)  # noqa: S102 - the code of our own page
    printed = capsys.readouterr().out
    assert [text for text in PRINTED if text not in printed] == []


def test_it_tells_of_every_method_and_error() -> None:
    methods = {name for name in dir(palomar.Client) if not name.startswith("_")}
    elsewhere = {
        "stream", "flow_batches", "agent_event_stream", "debug_event_stream", "server",
    }  # fmt: skip
    assert [name for name in sorted(methods - elsewhere) if name not in TEXT] == []
    errors = [name for name in palomar.__all__ if is_error(getattr(palomar, name))]
    assert [
        name for name in errors if f"`{name}`" not in TEXT.replace("palomar.Palomar", "Palomar")
    ] == []


def is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, palomar.PalomarError)


def test_its_links_lead_somewhere() -> None:
    for name in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (PAGE.parent / name).exists(), name
