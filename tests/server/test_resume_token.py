from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow.flow_pb2 import DROPPED, FlowFilter
from palomar_server.errors import InvalidRequest
from palomar_server.resume_token import (
    NO_LIMIT,
    ResumeToken,
    filters_digest,
    node_digest,
)

U64 = st.integers(0, (1 << 64) - 1)
TOKENS = st.builds(
    ResumeToken,
    run_id=U64,
    node=st.integers(0, (1 << 32) - 1),
    sequence=U64,
    left=U64,
    since_ns=U64,
    filters=st.binary(min_size=8, max_size=8),
)
TOKEN = ResumeToken(1, 2, 300, NO_LIMIT, 0, b"filters!")


@given(TOKENS)
def test_what_is_written_is_read(token: ResumeToken) -> None:
    assert ResumeToken.from_bytes(token.to_bytes()) == token


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest, match="resume_token"):
        ResumeToken.from_bytes(content)


@given(st.integers(0, len(TOKEN.to_bytes()) * 8 - 1))
def test_one_changed_bit_is_noticed(bit: int) -> None:
    changed = bytearray(TOKEN.to_bytes())
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidRequest, match="damaged"):
        ResumeToken.from_bytes(bytes(changed))


@given(st.integers(0, len(TOKEN.to_bytes()) - 1))
def test_a_cut_token_is_refused(length: int) -> None:
    with pytest.raises(InvalidRequest, match=f"{length} bytes"):
        ResumeToken.from_bytes(TOKEN.to_bytes()[:length])


def test_a_long_text_is_told_shortened() -> None:
    with pytest.raises(InvalidRequest) as refused:
        ResumeToken.from_bytes(bytes(1 << 20))
    assert len(str(refused.value)) < 200


def test_a_later_version_is_named() -> None:
    body = b"\x02" + TOKEN.to_bytes()[1:-4]
    with pytest.raises(InvalidRequest, match="version 2; this daemon knows 1"):
        ResumeToken.from_bytes(body + struct.pack(">I", zlib.crc32(body)))


def test_a_client_may_have_stopped_within_the_batch() -> None:
    token = replace(TOKEN, left=20).to_bytes() + struct.pack(">QQ", 290, 7)
    assert ResumeToken.from_bytes(token) == replace(TOKEN, sequence=291, left=27)


def test_without_a_count_nothing_is_counted() -> None:
    token = TOKEN.to_bytes() + struct.pack(">QQ", 290, 7)
    assert ResumeToken.from_bytes(token) == replace(TOKEN, sequence=291)


def test_a_client_cannot_have_stopped_behind_the_batch() -> None:
    with pytest.raises(InvalidRequest, match="goes on at 300"):
        ResumeToken.from_bytes(TOKEN.to_bytes() + struct.pack(">QQ", 300, 0))


def test_equal_filters_have_equal_digests() -> None:
    dropped, web = FlowFilter(verdict=[DROPPED]), FlowFilter(source_pod=["default/web"])
    same = filters_digest([dropped, web], [])
    assert same == filters_digest([FlowFilter(verdict=[DROPPED]), web], [])
    others = {
        filters_digest([web, dropped], []),
        filters_digest([dropped], [web]),
        filters_digest([], [dropped, web]),
        filters_digest([], []),
    }
    assert len({same, *others}) == 5


def test_an_empty_filter_is_not_no_filter() -> None:
    assert filters_digest([FlowFilter()], []) != filters_digest([], [])
    assert filters_digest([FlowFilter()], []) != filters_digest([], [FlowFilter()])


def test_nodes_are_told_apart() -> None:
    assert node_digest("default/a") != node_digest("default/b")
