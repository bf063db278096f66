from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder.counts import Counts
from palomar_recorder.packets import LINKTYPE_RAW, Packets
from palomar_recorder.pcap import PcapEncoder
from tests.e2e.capture_file import parse_capture, wireshark
from tests.recorder.random_packets import ETHERNET_TABLE, batches, contents, uniform

if TYPE_CHECKING:
    from pathlib import Path


def file_of(encoder: PcapEncoder, *packets: Packets) -> bytes:
    parts = [*encoder.begin(), *(one for batch in packets for one in encoder.encode(batch))]
    return b"".join(map(bytes, [*parts, *encoder.end(Counts(), 0)]))


def test_file_is_byte_for_byte_what_hubble_writes_in_microseconds() -> None:
    packets = uniform(1, 60).cut(20)
    raw = file_of(PcapEncoder(snaplen_bytes=128, nanoseconds=False), packets)
    assert raw[:24].hex() == "d4c3b2a1020004000000000000000000" + "80000000" + "01000000"
    # 1,700,000,000 s and 123,456 µs.
    assert raw[24:40].hex() == "00f15365" + "40e20100" + "14000000" + "3c000000"
    assert raw[40:] == contents(packets)[0]


def test_packets_that_are_not_cut_are_told_by_the_usual_snaplen() -> None:
    assert file_of(PcapEncoder(snaplen_bytes=0))[16:20] == b"\xff\xff\0\0"


@given(st.lists(batches(ETHERNET_TABLE), max_size=3), st.booleans())
def test_what_was_encoded_is_read_back(several: list[Packets], nanoseconds: bool) -> None:  # noqa: FBT001 - a parameter of the case
    raw = file_of(PcapEncoder(snaplen_bytes=0, nanoseconds=nanoseconds), *several)
    read = parse_capture(raw)
    unit_ns = 1 if nanoseconds else 1_000
    assert [one.time_ns for one in read] == [
        time_ns // unit_ns * unit_ns for packets in several for time_ns in packets.times_ns.tolist()
    ]
    assert [one.data for one in read] == [one for packets in several for one in contents(packets)]
    assert [one.original_bytes for one in read] == [
        length for packets in several for length in packets.original_bytes.tolist()
    ]


@given(st.data(), st.sampled_from([1, 13, 14, 15, 20, 1_000, 65_535]))
def test_packets_without_ethernet_get_a_header_within_the_snaplen(
    data: st.DataObject, snaplen_bytes: int
) -> None:
    packets = data.draw(batches(snaplen_bytes=snaplen_bytes))
    read = parse_capture(file_of(PcapEncoder(snaplen_bytes=snaplen_bytes), packets))
    assert len(read) == len(packets)
    for one, content, interface, original in zip(
        read, contents(packets), packets.interfaces, packets.original_bytes, strict=True
    ):
        bare = packets.interface_table[interface].linktype == LINKTYPE_RAW
        assert len(one.data) <= snaplen_bytes
        assert one.original_bytes == original + 14 * bare
        if bare:
            kind = {4: b"\x08\0", 6: b"\x86\xdd"}.get(
                content[0] >> 4 if content else 0, b"\xff\xff"
            )
            content = (bytes(12) + kind + content)[:snaplen_bytes]  # noqa: PLW2901 - as it is to be
        assert one.data == content


def test_no_packets_are_no_bytes() -> None:
    packets = uniform(2, 60)
    assert PcapEncoder(snaplen_bytes=0).encode(packets.take(slice(0))) == []


@pytest.mark.parametrize("nanoseconds", [True, False])
def test_wireshark_reads_it(tmp_path: Path, nanoseconds: bool) -> None:  # noqa: FBT001 - as above
    path = tmp_path / "x.pcap"
    encoder = PcapEncoder(snaplen_bytes=100, nanoseconds=nanoseconds)
    path.write_bytes(file_of(encoder, uniform(3, 60), uniform(2, 46, LINKTYPE_RAW)))
    facts = wireshark("capinfos", str(path))
    assert "nanosecond pcap" in facts if nanoseconds else "/tcpdump/... - pcap" in facts
    assert "Number of packets:   5" in facts
    fields = ("-T", "fields", "-e", "frame.time_epoch", "-e", "udp.srcport", "-e", "frame.len")
    lines = wireshark("tshark", "-r", str(path), *fields).splitlines()
    assert lines[0] == f"1700000000.123456{'789' if nanoseconds else '000'}\t3000\t60"
    assert [line.split("\t")[1:] for line in lines] == [["3000", "60"]] * 5
