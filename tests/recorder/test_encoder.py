from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from palomar_recorder.counts import Counts
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.pcapng import PcapngEncoder
from palomar_recorder.testing import START_NS, packets_of

if TYPE_CHECKING:
    from palomar_recorder.encoder import Encoder


@pytest.mark.parametrize(
    "encoder",
    [
        PcapEncoder(snaplen_bytes=0),
        PcapngEncoder(snaplen_bytes=0, comment="a", node_name="n"),
    ],
    ids=["pcap", "pcapng"],
)
def test_all_encoders_give_buffers_for_begin_packets_and_end(encoder: Encoder) -> None:
    assert encoder.suffix.startswith(".pcap")
    begin = b"".join(bytes(buffer) for buffer in encoder.begin())
    packets = b"".join(bytes(buffer) for buffer in encoder.encode(packets_of([b"one", b"two"])))
    assert begin
    assert b"one" in packets
    assert packets.index(b"one") < packets.index(b"two")
    encoder.encode(packets_of([b"not written"]))
    encoder.undo()
    assert list(encoder.encode(packets_of([]))) == []
    for buffer in encoder.end(Counts(), START_NS):
        assert memoryview(buffer).nbytes
