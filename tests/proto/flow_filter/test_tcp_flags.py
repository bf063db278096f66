"""TCP flags of filters."""

from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.tcp_flags import FLAGS, parse_tcp_flags


def test_bits_are_those_of_the_header() -> None:
    flags = [flow_pb2.TCPFlags(SYN=True), flow_pb2.TCPFlags(SYN=True, ACK=True, NS=True)]
    assert parse_tcp_flags("tcp_flags", flags) == {0x002, 0x112}


def test_every_flag_has_its_bit() -> None:
    assert {field.name for field in flow_pb2.TCPFlags.DESCRIPTOR.fields} == set(FLAGS)


def test_no_flags_are_no_bits() -> None:
    assert parse_tcp_flags("tcp_flags", [flow_pb2.TCPFlags()]) == {0}
