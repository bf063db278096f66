"""The first events of the bench corpus, against what Hubble made of them.

That Hubble was an older one, which left some fields out that today's fills.
"""

from __future__ import annotations

import json
import lzma
from typing import TYPE_CHECKING, Literal

from google.protobuf import json_format

from bench.corpus import SPACING_NS, START_NS, batch_of, read_context, read_payloads
from palomar_proto.flow import flow_pb2
from palomar_server.decode.decoder import Decoder
from palomar_server.testing import Core

if TYPE_CHECKING:
    from pathlib import Path

NOT_COMPARED: tuple[Literal["uuid", "node_labels"], ...] = ("uuid", "node_labels")
NEWER: tuple[Literal["emitter", "file"], ...] = ("emitter", "file")
FIRST = 2_000


def as_the_older_one(flow: flow_pb2.Flow) -> flow_pb2.Flow:
    for field in (*NOT_COMPARED, *NEWER):
        flow.ClearField(field)
    # It knew the cluster of what is not local only.
    for endpoint in (flow.source, flow.destination):
        if endpoint.ID:
            endpoint.ClearField("cluster_name")
    return flow


def test_flows_of_the_bench_corpus_are_those_of_hubble(shared: Path) -> None:
    folder = shared / "conformance" / "bench-corpus"
    with lzma.open(folder / "first-2000.jsonpb.xz", "rt") as lines:
        written = [json.loads(line)["flow"] for line in lines]
    expected = [as_the_older_one(json_format.ParseDict(flow, flow_pb2.Flow())) for flow in written]
    core = Core()
    core.surroundings.apply(read_context(folder))
    decoder = Decoder(core.surroundings)
    wrong = []
    # In batches that share a time of receipt no flow would have its own.
    for index, payload in enumerate(read_payloads(folder, FIRST)):
        batch = batch_of([payload], START_NS + index * SPACING_NS)
        (row,) = decoder.decode(batch).rows
        actual = as_the_older_one(core.encoder.flow(row))
        if actual != expected[index]:
            wrong.append((index, expected[index], actual))
    assert wrong[:3] == []
    assert len(expected) == FIRST


def test_a_batch_of_the_bench_corpus_is_what_its_events_are_alone(shared: Path) -> None:
    folder = shared / "conformance" / "bench-corpus"
    payloads = read_payloads(folder, FIRST)
    core = Core()
    core.surroundings.apply(read_context(folder))
    decoder = Decoder(core.surroundings)
    decoded = decoder.decode(batch_of(payloads))
    assert not decoded.malformed
    alone = [decoder.decode(batch_of([payload])).rows for payload in payloads]
    assert decoded.rows.tobytes() == b"".join(rows.tobytes() for rows in alone)
