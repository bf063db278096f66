"""What is said of packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.recording.packet_notes import PacketNotes
from palomar_server.testing import Core, flow_rows, view_of

if TYPE_CHECKING:
    from palomar_server.table import Rows

CONTEXT = {
    "endpoints": {
        name: {"at_ns": 0, "addresses": [address], "namespace": "default", "pod_name": name}
        for name, address in (("web", "10.0.0.1"), ("db", "10.0.0.2"))
    },
    "reasons": {"2": "NETFILTER_DROP"},
}


def node() -> Core:
    core = Core(find_symbol=lambda _: "nft_do_chain")
    core.surroundings.apply(CONTEXT)
    return core


def between(core: Core, source: str, destination: str, **columns: object) -> Rows:
    rows = flow_rows(1, observation_point=flow_pb2.TO_ENDPOINT, **columns)
    for side, address in (("source", source), ("destination", destination)):
        hi, lo = parse_address(address)
        rows[f"{side}_hi"], rows[f"{side}_lo"] = hi, lo
        rows[f"{side}_endpoint"] = core.surroundings.endpoints.row_at((hi, lo), 1)
    return rows


def notes_of(core: Core, *rows: Rows) -> list[str]:
    which, table = PacketNotes(core.surroundings).of(view_of(np.concatenate(rows)))
    assert table[0] == ""
    assert which.dtype == np.uint32
    assert len(set(table)) == len(table)
    return [table[index] for index in which.tolist()]


def test_a_packet_that_went_on_says_between_whom_and_where() -> None:
    core = node()
    assert notes_of(core, between(core, "10.0.0.1", "10.0.0.2")) == [
        "default/web → default/db · to-endpoint · FORWARDED"
    ]


def test_a_dropped_packet_says_why_and_where() -> None:
    core = node()
    site = core.surroundings.drop_site(4711, 2)
    rows = between(core, "10.0.0.1", "fd00::9", verdict=flow_pb2.DROPPED, drop_site=site)
    rows["observation_point"] = 0
    assert notes_of(core, rows) == [
        "default/web → fd00::9 · DROPPED · NETFILTER_DROP at nft_do_chain"
    ]


def test_a_packet_without_addresses_says_what_is_left() -> None:
    assert notes_of(Core(), flow_rows(flags=0, observation_point=flow_pb2.FROM_NETWORK)) == [
        "from-network · FORWARDED"
    ]


def test_packets_that_say_the_same_share_a_note() -> None:
    core = node()
    first = between(core, "10.0.0.1", "10.0.0.2")
    other = between(core, "10.0.0.2", "10.0.0.1")
    first_again = between(core, "10.0.0.1", "10.0.0.2", source_port=7, bytes=9)
    notes = notes_of(core, first, other, first_again)
    assert notes[0] == notes[2] != notes[1]


def test_keys_that_are_mixed_to_the_same_number_are_told_apart() -> None:
    core = node()
    notes = PacketNotes(core.surroundings)
    notes._factors = np.zeros_like(notes._factors)
    rows = np.concatenate([between(core, f"10.0.1.{number}", "10.0.0.2") for number in range(50)])
    which, table = notes.of(view_of(rows))
    assert [table[index].split(" ")[0] for index in which] == [f"10.0.1.{n}" for n in range(50)]


def test_a_row_that_means_another_pod_by_now_is_worded_anew() -> None:
    core = node()
    notes = PacketNotes(core.surroundings)
    rows = between(core, "10.0.0.1", "10.0.0.2")
    notes.of(view_of(rows))
    core.surroundings.endpoints._endpoints[int(rows["source_endpoint"][0])] = (
        core.surroundings.endpoints.endpoint(0)
    )
    core.surroundings.endpoints.generation += 1
    _, table = notes.of(view_of(rows))
    assert table[1].startswith("10.0.0.1 → default/db")
