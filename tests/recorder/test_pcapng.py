from __future__ import annotations

import dataclasses
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder import pcapng
from palomar_recorder import pcapng_blocks as blocks
from palomar_recorder.counts import Counts, PacketCount
from palomar_recorder.packets import LINKTYPE_ETHERNET, LINKTYPE_RAW, Interface, Packets
from palomar_recorder.pcapng import PcapngEncoder
from tests.e2e.capture_file import parse_capture, wireshark
from tests.recorder.random_packets import NOTES, batches, contents, uniform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


END_NS = 1_700_000_001_000_000_000


def new_encoder(comment: str = "pod web", snaplen_bytes: int = 0) -> PcapngEncoder:
    return PcapngEncoder(snaplen_bytes=snaplen_bytes, comment=comment, node_name="default/node-1")


def counts_of(packets: int, lost: int = 0) -> Counts:
    return Counts(
        captured=PacketCount(packets, 60 * packets),
        written=PacketCount(packets, 60 * packets),
        lost_perf_ring=PacketCount(lost, 60 * lost),
    )


def file_of(*several: Packets, lost: int = 0, encoder: PcapngEncoder | None = None) -> bytes:
    encoder = encoder or new_encoder()
    parts = [*encoder.begin(), *(one for batch in several for one in encoder.encode(batch))]
    parts += encoder.end(counts_of(sum(map(len, several)), lost), END_NS)
    return b"".join(map(bytes, parts))


def blocks_of(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(raw):
        kind, length = struct.unpack_from("=LL", raw, at)
        assert raw[at + length - 4 : at + length] == struct.pack("=L", length)
        yield kind, raw[at + 8 : at + length - 4]
        at += length


def options_of(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        code, length = struct.unpack_from("=HH", raw, at)
        if code == blocks.OPT_END:
            assert at + 4 == len(raw)
            return found
        found[code] = raw[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
    assert not found, "options without an end"
    return found


def statistics_of(raw: bytes) -> list[dict[int, bytes]]:
    return [options_of(body[12:]) for kind, body in blocks_of(raw) if kind == 5]


def number(option: bytes) -> int:
    return int(struct.unpack("=Q", option)[0])


@given(st.lists(batches(), max_size=3))
def test_what_was_encoded_is_read_back(several: list[Packets]) -> None:
    read = parse_capture(file_of(*several))
    wanted = [
        (
            time_ns,
            content,
            original,
            packets.interface_table[interface].name,
            packets.interface_table[interface].linktype,
            NOTES[note],
        )
        for packets in several
        for time_ns, content, original, interface, note in zip(
            packets.times_ns.tolist(),
            contents(packets),
            packets.original_bytes.tolist(),
            packets.interfaces.tolist(),
            packets.notes.tolist(),
            strict=True,
        )
    ]
    assert [
        (one.time_ns, one.data, one.original_bytes, one.interface, one.linktype, one.comment)
        for one in read
    ] == wanted


@given(batches(least=1))
def test_padding_is_zeros_and_options_end(packets: Packets) -> None:
    for kind, body in blocks_of(file_of(packets)):
        if kind == blocks.ENHANCED_PACKET:
            (captured,) = struct.unpack_from("=L", body, 12)
            padded = captured + -captured % 4
            assert body[20 + captured : 20 + padded] == bytes(-captured % 4)
            options_of(body[20 + padded :])


def test_section_tells_node_filter_machine_and_program() -> None:
    kind, body = next(blocks_of(file_of()))
    options = options_of(body[16:])
    assert kind == blocks.SECTION_HEADER
    assert options[blocks.OPT_COMMENT].decode() == "node: default/node-1\npod web"
    assert options[blocks.SHB_USER_APPLICATION].startswith(b"palomar ")
    assert options[blocks.SHB_OS].startswith(b"Linux ")
    assert blocks.SHB_HARDWARE in options


def test_interface_stands_once_before_its_first_packet_by_name_and_linktype() -> None:
    first = uniform(2, 60)
    other_table = (Interface("eth1", LINKTYPE_ETHERNET), Interface("eth0", LINKTYPE_ETHERNET))
    second = dataclasses.replace(
        first, interfaces=np.array([1, 0], np.uint32), interface_table=other_table
    )
    raw = file_of(first, second, uniform(1, 60, LINKTYPE_RAW))
    kinds = [kind for kind, _ in blocks_of(raw)]
    assert kinds == [0x0A0D0D0A, 1, 6, 6, 1, 6, 6, 1, 6, 5, 5, 5]
    read = [(one.interface, one.linktype) for one in parse_capture(raw)]
    assert read == [("eth0", 1), ("eth0", 1), ("eth0", 1), ("eth1", 1), ("eth0", 101)]


def test_interfaces_without_packets_are_left_out() -> None:
    packets = uniform(1, 60)
    table = (*packets.interface_table, Interface("eth9", LINKTYPE_ETHERNET))
    raw = file_of(dataclasses.replace(packets, interface_table=table))
    assert b"eth9" not in raw


def test_interfaces_beyond_the_limit_are_one_without_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pcapng, "INTERFACES_MAX", 2)
    table = tuple(Interface(f"eth{index}", LINKTYPE_ETHERNET) for index in range(4))
    packets = dataclasses.replace(
        uniform(4, 60), interfaces=np.arange(4, dtype=np.uint32), interface_table=table
    )
    read = parse_capture(file_of(packets))
    assert [one.interface for one in read] == ["eth0", "eth1", "", ""]


def test_one_interface_has_the_counts_of_the_recording() -> None:
    (options,) = statistics_of(file_of(uniform(5, 60), lost=2))
    assert number(options[blocks.ISB_FILTERACCEPT]) == 7
    assert number(options[blocks.ISB_OSDROP]) == 2
    assert number(options[blocks.ISB_USRDELIV]) == 5
    high, low = struct.unpack("=LL", options[blocks.ISB_ENDTIME])
    assert high << 32 | low == END_NS
    assert "lost in the perf ring: 2 packets, 120 bytes" in options[1].decode()


def test_of_several_interfaces_only_what_each_delivered_is_told() -> None:
    table = (Interface("eth0", LINKTYPE_ETHERNET), Interface("eth1", LINKTYPE_ETHERNET))
    packets = dataclasses.replace(
        uniform(3, 60), interfaces=np.array([0, 1, 1], np.uint32), interface_table=table
    )
    first, second = statistics_of(file_of(packets, lost=2))
    assert [number(one[blocks.ISB_USRDELIV]) for one in (first, second)] == [1, 2]
    assert blocks.ISB_OSDROP not in first
    assert "lost in the perf ring: 2 packets" in first[blocks.OPT_COMMENT].decode()
    assert blocks.OPT_COMMENT not in second


def test_file_without_packets_has_an_interface_as_tools_want_one() -> None:
    kinds = [kind for kind, _ in blocks_of(file_of())]
    assert kinds == [blocks.SECTION_HEADER, blocks.INTERFACE_DESCRIPTION, 5]


def test_packets_that_the_file_refused_are_forgotten() -> None:
    encoder = new_encoder()
    parts = [*encoder.begin(), *encoder.encode(uniform(2, 60))]
    encoder.encode(uniform(3, 60, LINKTYPE_RAW))
    encoder.undo()
    raw = b"".join(map(bytes, [*parts, *encoder.end(counts_of(2), END_NS)]))
    (options,) = statistics_of(raw)
    assert number(options[blocks.ISB_USRDELIV]) == 2


def test_an_interface_is_described_anew_if_its_description_was_refused() -> None:
    encoder, straight = new_encoder(), new_encoder()
    packets = uniform(3, 60)
    encoder.begin(), straight.begin()
    encoder.encode(packets)
    encoder.undo()
    again = [bytes(buffer) for buffer in encoder.encode(packets.take(slice(2)))]
    assert again == [bytes(buffer) for buffer in straight.encode(packets.take(slice(2)))]


def test_long_note_is_cut() -> None:
    packets = dataclasses.replace(
        uniform(1, 60), notes=np.ones(1, np.uint32), note_table=("", "ä" * 5_000)
    )
    (one,) = parse_capture(file_of(packets))
    assert one.comment == "ä" * (pcapng.NOTE_BYTES_MAX // 2)


def test_wireshark_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    packets = dataclasses.replace(
        uniform(3, 61),
        notes=np.array([0, 1, 2], np.uint32),
        note_table=("", "web → db · DROPPED", "x"),
    )
    path.write_bytes(file_of(packets, uniform(2, 46, LINKTYPE_RAW), lost=4))
    facts = wireshark("capinfos", str(path))
    assert "Number of packets:   5" in facts
    assert "node: default/node-1" in facts
    assert facts.count("Number of stat entries = 1") == 2
    fields = ("udp.srcport", "frame.interface_name", "frame.time_epoch", "frame.comment")
    chosen = [part for field in fields for part in ("-e", field)]
    lines = wireshark("tshark", "-r", str(path), "-T", "fields", *chosen).splitlines()
    assert lines[1] == "3000\teth0\t1700000000.123457789\tweb → db · DROPPED"
    assert [line.split("\t")[:2] for line in lines] == [["3000", "eth0"]] * 5


def test_tools_read_a_file_without_packets(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(file_of())
    assert "Number of packets:   0" in wireshark("capinfos", str(path))
    assert wireshark("tshark", "-r", str(path)) == ""
    # libpcap refuses files without an interface.
    wireshark("editcap", "-F", "pcap", str(path), str(tmp_path / "x.pcap"))
    tcpdump(path)


def test_tcpdump_reads_a_file_of_one_linktype(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(file_of(uniform(3, 60), lost=1))
    assert tcpdump(path).count("10.0.0.1.3000 > 10.0.0.2.53") == 3


def tcpdump(path: Path) -> str:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed: `make setup` brings it")
    done = subprocess.run(["tcpdump", "-n", "-r", path], capture_output=True, text=True, check=True)
    return done.stdout
