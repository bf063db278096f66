from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server import rtnetlink
from palomar_server.rtnetlink import Changes, Message, RouteQueries, attributes, messages

NEW_LINK, NEW_ADDRESS, DELETED_NSID = 16, 20, 89


def attribute(type_: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), type_) + value + bytes(-len(value) % 4)


def int32(number: int) -> bytes:
    return struct.pack("=i", number)


def address(*parts: bytes) -> Message:
    return Message(NEW_ADDRESS, 0, 1, struct.pack("=BBBBI", 2, 24, 0, 0, 7) + b"".join(parts))


def link(kind: bytes, *parts: bytes, ifindex: int = 7) -> Message:
    info = attribute(18, attribute(1, kind))
    return Message(
        NEW_LINK, 0, 1, struct.pack("=BxHiII", 0, 1, ifindex, 0, 0) + info + b"".join(parts)
    )


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=99))))
def test_messages_come_out_as_they_went_in(parts: list[tuple[int, int, bytes]]) -> None:
    data = b"".join(
        struct.pack("=IHHII", 16 + len(body), type_, flags, 5, 0) + body + bytes(-len(body) % 4)
        for type_, flags, body in parts
    )
    expected = [Message(type_, flags, 5, body) for type_, flags, body in parts]
    assert list(messages(data)) == expected


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail(data: bytes) -> None:
    attributes(data)
    changes = Changes()
    for message in [*messages(data), *(Message(t, 0, 0, data) for t in (16, 17, 20, 21, 88, 89))]:
        rtnetlink._note(changes, message, None)
        rtnetlink._address_of(message, 0)
        rtnetlink._pair_end(message)


def test_the_local_address_counts_on_a_point_to_point_link() -> None:
    far, near = attribute(1, bytes([10, 0, 0, 1])), attribute(2, bytes([10, 0, 0, 2]))
    found = rtnetlink._address_of(address(attribute(10, int32(3)), far, near), 3)
    assert str(found) == "10.0.0.2"


def test_an_answer_for_another_namespace_than_asked_is_not_taken() -> None:
    near = attribute(2, bytes([10, 0, 0, 2]))
    assert rtnetlink._address_of(address(near), 3) is None
    assert rtnetlink._address_of(address(near, attribute(10, int32(4))), 3) is None


def test_a_duplicate_address_is_not_the_namespaces() -> None:
    parts = attribute(10, int32(3)), attribute(2, bytes([10, 0, 0, 2])), attribute(8, int32(0x88))
    assert rtnetlink._address_of(address(*parts), 3) is None


@pytest.mark.parametrize("kind", [b"veth\0", b"netkit\0", b"veth"])
def test_the_end_of_a_pair_tells_its_namespace_and_number(kind: bytes) -> None:
    message = link(kind, attribute(5, int32(2)), attribute(37, int32(4)))
    assert rtnetlink._pair_end(message) == (4, 7)


def test_links_of_other_kinds_and_pairs_within_a_namespace_are_no_ends() -> None:
    peer, nsid = attribute(5, int32(2)), attribute(37, int32(4))
    assert rtnetlink._pair_end(link(b"macvlan\0", peer, nsid)) is None
    assert rtnetlink._pair_end(link(b"veth\0", peer)) is None
    assert rtnetlink._pair_end(link(b"veth\0", peer, attribute(37, int32(-1)))) is None


def test_notices_say_whose_numbering_an_ended_nsid_was_in() -> None:
    changes = Changes()
    assert not changes
    message = Message(DELETED_NSID, 0, 0, bytes(4) + attribute(1, int32(9)))
    rtnetlink._note(changes, message, None)
    rtnetlink._note(changes, message, 2)
    assert changes.ended == {(None, 9), (2, 9)}
    total = Changes(links=True)
    total.add(changes)
    assert total == Changes(links=True, ended=changes.ended)


def test_a_descriptor_that_is_no_namespace_is_refused() -> None:
    queries = RouteQueries()
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            queries.nsid(reading)
    finally:
        os.close(reading)
        os.close(writing)
        queries.close()


def test_an_nsid_that_nobody_has_is_refused() -> None:
    queries = RouteQueries()
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            queries.addresses(2**31 - 1)
        # The socket serves the next question.
        assert isinstance(queries.pair_ends(), dict)
    finally:
        queries.close()


def test_our_own_addresses_are_told_without_loopback() -> None:
    queries = RouteQueries()
    try:
        assert not any(address.is_loopback for address in queries.addresses(None))
    finally:
        queries.close()
