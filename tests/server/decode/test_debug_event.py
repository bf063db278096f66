from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow.flow_pb2 import DBG_GENERIC, DebugEvent
from palomar_server.decode.debug_event import decode_debug_event
from palomar_server.decode.malformed import Malformed
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.table import FLOW, Kind


def payload(subtype: int = 1, source: int = 0) -> bytes:
    return struct.pack("=BBHIIII", 2, subtype, source, 7, 1, 2, 3)


def decoded(data: bytes, surroundings: Surroundings | None = None) -> DebugEvent:
    row = np.zeros(1, FLOW)[0]
    fault, message = decode_debug_event(data, 3, row, surroundings or Surroundings(EndpointTable()))
    assert fault is Malformed.NONE
    return DebugEvent.FromString(message)


def test_arguments_hash_and_cpu_are_there_even_if_zero() -> None:
    event = decoded(payload())
    assert event.type == DBG_GENERIC
    assert event.message == "No message, arg1=1 (0x1) arg2=2 (0x2)"
    numbers = (event.hash, event.arg1, event.arg2, event.arg3, event.cpu)
    assert [number.value for number in numbers] == [7, 1, 2, 3, 3]
    empty = decoded(bytes((2,)) + bytes(19))
    assert all(empty.HasField(name) for name in ("hash", "arg1", "arg2", "arg3", "cpu"))
    assert not empty.HasField("source")


def test_source_is_told_as_far_as_it_is_known() -> None:
    surroundings = Surroundings(EndpointTable())
    endpoint = {
        "at_ns": 0,
        "addresses": [],
        "id": 5,
        "identity": 9,
        "pod_name": "web",
        "workloads": [["w", "x"]],
    }
    surroundings.apply({"endpoints": {"a": endpoint}})
    known = decoded(payload(source=5), surroundings).source
    assert (known.ID, known.identity, known.pod_name, len(known.workloads)) == (5, 9, "web", 0)
    unknown = decoded(payload(source=6), surroundings).source
    assert (unknown.ID, unknown.identity, unknown.pod_name) == (6, 0, "")


def test_row_says_what_filters_ask() -> None:
    row = np.zeros(1, FLOW)[0]
    decode_debug_event(payload(subtype=64, source=5), 0, row, Surroundings(EndpointTable()))
    columns = ("kind", "event_type", "event_subtype", "local_endpoint_id")
    assert [int(row[column]) for column in columns] == [Kind.DEBUG, 2, 64, 5]


@given(st.binary(max_size=19))
def test_too_short_is_malformed(data: bytes) -> None:
    row = np.zeros(1, FLOW)[0]
    surroundings = Surroundings(EndpointTable())
    assert decode_debug_event(data, 0, row, surroundings) == (Malformed.HEAD_TOO_SHORT, b"")
    assert row == np.zeros(1, FLOW)[0]


@given(st.binary(min_size=20, max_size=40))
def test_any_bytes_are_an_event(data: bytes) -> None:
    assert decoded(data).message
