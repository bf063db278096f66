from __future__ import annotations

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.table import Flag, Protocol
from palomar_server.testing import ACK, SYN, flow_rows
from tests.server.filters.selecting import selected

Flags = flow_pb2.TCPFlags


def test_all_flags_of_one_value_must_be_set_and_others_may() -> None:
    rows = flow_rows(4, tcp_flags=[0, SYN, SYN | ACK, 0x100])
    assert selected(rows, tcp_flags=[Flags(SYN=True)]) == [1, 2]
    assert selected(rows, tcp_flags=[Flags(SYN=True, ACK=True), Flags(NS=True)]) == [2, 3]
    assert selected(rows, tcp_flags=[Flags()]) == [0, 1, 2, 3]


def test_only_tcp_packets_have_flags() -> None:
    rows = flow_rows(3, tcp_flags=SYN, protocol=[Protocol.UDP, Protocol.TCP, Protocol.TCP])
    rows["flags"][1] = Flag.IP
    rows["event_type"][2] = MessageType.TRACE_SOCK
    assert selected(rows, tcp_flags=[Flags()]) == []


def test_of_messages_those_match_that_tell_flags() -> None:
    told, silent = flow_pb2.Flow(), flow_pb2.Flow()
    told.l4.TCP.flags.SYN = True
    silent.l4.TCP.source_port = 1
    messages = [told.SerializeToString(), silent.SerializeToString()]
    rows = flow_rows(2, message=[1, 2])
    assert selected(rows, messages=messages, tcp_flags=[Flags(SYN=True), Flags()]) == [0]
