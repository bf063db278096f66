from __future__ import annotations

from palomar_recorder.counts import Counts
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.testing import packets_of
from palomar_server.recording.interface_names import NAMES_MAX, InterfaceNames


def test_names_are_those_of_packets_and_the_file_is_the_same() -> None:
    plain = PcapEncoder(snaplen_bytes=0)
    named = InterfaceNames(PcapEncoder(snaplen_bytes=0))
    assert named.suffix == plain.suffix
    assert [*named.begin()] == [*plain.begin()]
    for interface in ("veth1", "eth0", "eth0", ""):
        packets = packets_of([b"x" * 60], interface=interface)
        ours, theirs = named.encode(packets), plain.encode(packets)
        assert [bytes(one) for one in ours] == [bytes(one) for one in theirs]
    assert named.names == ("eth0", "veth1")
    assert [*named.end(Counts(), 0)] == []


def test_no_more_names_than_may_be_told_are_kept() -> None:
    named = InterfaceNames(PcapEncoder(snaplen_bytes=0))
    for number in range(NAMES_MAX + 5):
        named.encode(packets_of([b"x" * 60], interface=f"veth{number}"))
    assert len(named.names) == NAMES_MAX


def test_names_of_packets_that_were_not_written_are_forgotten() -> None:
    named = InterfaceNames(PcapEncoder(snaplen_bytes=0))
    named.encode(packets_of([b"x" * 60], interface="eth0"))
    named.encode(packets_of([b"x" * 60], interface="veth1"))
    named.undo()
    assert named.names == ("eth0",)
