from __future__ import annotations

import struct

import pytest

from palomar_bpf.errors import CaptureError
from palomar_bpf.links import Link
from palomar_bpf.records import RECORD_LOST, RECORD_SAMPLE
from palomar_bpf.ring import drain
from palomar_bpf.testing import FakeRing, FakeTc

LINK = Link(2, "eth0", None, None, None, up=True, ethernet=True)


def test_a_fake_ring_lays_out_records_like_the_kernel() -> None:
    ring = FakeRing(cpu=3)
    assert ring.emit(b"payload!")
    record = bytes(ring.memory[4096 : 4096 + 24])
    assert record[:12] == struct.pack("=IHHI", RECORD_SAMPLE, 1, 24, 12)
    assert record[12:20] == b"payload!"
    assert bytes(ring.memory[1024:1040]) == struct.pack("=QQ", 24, 0)


def test_a_fake_ring_notes_its_losses_like_the_kernel() -> None:
    ring = FakeRing()
    while ring.emit(bytes(500)):
        pass
    ring.emit(bytes(500))
    drain([ring.reader])
    tail, _ = ring.reader.unread()
    ring.emit(b"after")
    _, head = ring.reader.unread()
    assert head - tail == 24 + 24
    place = 4096 + tail % 4096
    assert struct.unpack_from("=IHHQQ", ring.memory, place) == (RECORD_LOST, 0, 24, 0, 2)


def test_fake_interfaces_tell_what_is_attached() -> None:
    tc = FakeTc(broken=frozenset({"eth1"}))
    attachment = tc.attach(LINK)
    assert tc.attached == ["eth0"]
    attachment.detach()
    attachment.detach()
    assert tc.attached == []
    with pytest.raises(CaptureError, match="eth1"):
        tc.attach(Link(3, "eth1", None, None, None, up=True, ethernet=True))
