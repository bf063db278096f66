import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.errors import InvalidRequest
from palomar.packet_tuples import parse_packet_tuple
from palomar_proto.palomar.v1.recordings_pb2 import PacketTuple


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "10.0.0.0/8 4000 10.1.0.7 80 tcp",
            PacketTuple(
                source_cidr="10.0.0.0/8",
                source_port=4000,
                destination_cidr="10.1.0.7/32",
                destination_port=80,
                protocol=6,
            ),
        ),
        ("* * * 53 UDP", PacketTuple(destination_port=53, protocol=17)),
        ("any 0 - any 132", PacketTuple(protocol=132)),
        ("fd00::7", PacketTuple(source_cidr="fd00::7/128")),
        # Bits behind a prefix's length do not matter.
        ("10.1.2.3/8 *", PacketTuple(source_cidr="10.0.0.0/8")),
    ],
)
def test_words_stand_for_the_fields_in_order(text: str, expected: PacketTuple) -> None:
    assert parse_packet_tuple(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "0 words"),
        ("* * * * * *", "6 words"),
        ("10.0.0 * * *", "'10.0.0' in tuple"),
        ("* 65536", "'65536' in tuple"),
        ("* x", "no port"),
        ("* * * * quic", "no protocol"),
        ("* * * * 256", "no protocol"),
    ],
)
def test_what_means_nothing_is_refused_with_the_word(text: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        parse_packet_tuple(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_packet_tuple(text)
    except InvalidRequest:
        return
    assert found.source_port <= 65_535
    assert found.protocol <= 255
