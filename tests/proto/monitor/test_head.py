"""Heads of monitor messages."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.monitor import agent_notice
from palomar_proto.monitor.head import (
    ACCESS_LOG,
    AGENT,
    DEBUG,
    DEBUG_CAPTURE,
    DROP,
    POLICY_VERDICT,
    TRACE,
    TRACE_SOCK,
    Head,
    kernel_drop_reason,
    read_head,
)
from palomar_server.testing import drop_payload, packet, trace_payload


@pytest.mark.parametrize("kind", [DROP, TRACE, POLICY_VERDICT])
def test_packet_messages_begin_alike(kind: int) -> None:
    message = struct.pack("<BBHIIHBB", kind, 4, 1001, 0xCAFE, 1500, 128, 2, 0x50) + bytes(30)
    assert read_head(message) == Head(kind, 4, 1001, 0xCAFE, 2, 0x50, 1500, 128)


def test_capture_has_its_lengths_the_other_way_round() -> None:
    message = struct.pack("<BBHIIIII", DEBUG_CAPTURE, 6, 7, 8, 54, 60, 0, 0)
    assert read_head(message) == Head(DEBUG_CAPTURE, 6, 7, 8, original_bytes=60, captured_bytes=54)


def test_debug_and_socket_messages_have_less() -> None:
    assert read_head(struct.pack("<BBHIIII", DEBUG, 3, 7, 8, 0, 0, 0)) == Head(DEBUG, 3, 7, 8)
    assert read_head(bytes((TRACE_SOCK, 2)) + bytes(38)) == Head(TRACE_SOCK, 2)


def test_subtype_of_a_notice_is_its_type() -> None:
    assert read_head(agent_notice.encode(7, {})) == Head(AGENT, 7)
    assert read_head(b"\x82damaged") == Head(AGENT)


def test_what_is_cut_or_unknown_has_a_type_only() -> None:
    assert read_head(b"") is None
    assert read_head(b"\x04\x00") == Head(TRACE)
    assert read_head(bytes((ACCESS_LOG, 1))) == Head(ACCESS_LOG)
    assert read_head(b"\xee" * 40) == Head(0xEE)


@given(st.binary(max_size=80))
def test_any_bytes_have_a_head(data: bytes) -> None:
    first = read_head(data)
    assert (first is None) == (not data)


def test_kernel_reasons_are_read_from_our_own_drops_alone() -> None:
    ours = drop_payload(packet(), subtype=255, extension={"drop_reason": 12})
    assert kernel_drop_reason(ours) == 12
    assert kernel_drop_reason(ours[:79]) is None
    assert kernel_drop_reason(trace_payload(packet())) is None
    assert kernel_drop_reason(ours[:15] + b"\0" + ours[16:]) is None
    assert kernel_drop_reason(b"") is None
