from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.errors import Exhausted, Unsupported
from palomar_server.grpc_messages import MessageReader, frame
from tests.server.http2_client import prefix


@given(st.lists(st.binary(max_size=50), max_size=20), st.data())
def test_messages_are_found_however_their_bytes_are_cut(
    messages: list[bytes], data: st.DataObject
) -> None:
    stream = frame(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader = MessageReader(50)
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == messages
    assert not reader.pending


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_an_error(data: bytes) -> None:
    reader = MessageReader(20)
    try:
        found = reader.feed(data)
    except (Exhausted, Unsupported):
        return
    assert data.startswith(frame(found))
    assert reader.pending == (len(frame(found)) < len(data))


def test_a_message_has_a_flag_and_a_length() -> None:
    assert frame([b"ab", b""]) == b"\0\0\0\0\x02ab\0\0\0\0\0"
    assert frame([]) == b""


def test_a_message_too_large_is_refused_at_its_length() -> None:
    reader = MessageReader(10)
    assert reader.feed(prefix(10)) == []
    assert reader.feed(bytes(10)) == [bytes(10)]
    with pytest.raises(Exhausted, match="the request has 11 bytes, more than the 10 allowed"):
        reader.feed(prefix(11))


def test_a_compressed_message_is_refused() -> None:
    with pytest.raises(Unsupported, match="compressed"):
        MessageReader(10).feed(prefix(1, compressed=True))
