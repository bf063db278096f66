"""Notices of the agent as monitor messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.gob import GobError
from palomar_proto.monitor.agent_notice import AgentNotice, NoticeType, decode, encode


def test_notice_is_the_byte_130_and_a_gob() -> None:
    message = encode(NoticeType.ENDPOINT_CREATED, {"id": 1001, "pod-name": "ä"})
    assert message[0] == 130
    notice = decode(message)
    assert notice.type == NoticeType.ENDPOINT_CREATED
    assert json.loads(notice.text) == {"id": 1001, "pod-name": "ä"}


def test_perf_padding_is_ignored() -> None:
    assert decode(encode(2, {}) + bytes(7)) == AgentNotice(2, "{}")


@pytest.mark.parametrize("message", [b"", b"\x81", b"\x82", encode(2, {})[:-5]])
def test_what_is_no_notice_is_refused(message: bytes) -> None:
    with pytest.raises(GobError):
        decode(message)


@given(st.binary(max_size=100))
def test_any_bytes_are_an_error_or_a_notice(data: bytes) -> None:
    try:
        notice = decode(b"\x82" + data)
    except GobError:
        return
    assert isinstance(notice.text, str)
