"""The kernel's packets and a test's can stand in each other's place."""

from __future__ import annotations

import inspect

import pytest

from palomar_bpf.packet_capture import PacketCapture
from palomar_server.recording.packet_source import PacketSource
from palomar_server.recording.testing import FakePacketSource


@pytest.mark.parametrize("name", ["set_rules", "read", "wake", "lost"])
def test_all_sources_are_called_alike(name: str) -> None:
    asked = inspect.signature(getattr(PacketSource, name)).parameters
    for source in (PacketCapture, FakePacketSource):
        assert list(inspect.signature(getattr(source, name)).parameters) == list(asked)


def test_all_sources_say_how_much_of_a_packet_there_can_be() -> None:
    assert FakePacketSource().snaplen_bytes_max > 65_000
    assert isinstance(PacketCapture.snaplen_bytes_max, property)
