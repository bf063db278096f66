from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.gob import Basic, Encoder, GobError, Struct
from palomar_server.decode.log_record import LOG_RECORD, MESSAGE_TYPE, decode_log_record

ENCODER = Encoder(LOG_RECORD)
HEAD = bytes((MESSAGE_TYPE,)) + ENCODER.descriptions


def payload(record: dict[str, Any]) -> bytes:
    return HEAD + ENCODER.encode(record)


def test_what_is_zero_is_left_out_and_what_is_empty_is_there() -> None:
    record = decode_log_record(payload({"Type": "Request", "L7": {}}) + b"padding")
    assert record["Type"] == "Request"
    assert record["L7"] == {}
    assert "HTTP" not in record


@pytest.mark.parametrize(
    "record",
    [
        {"IPVersion": 256},
        {"TransportProtocol": 256},
        {"SourceEndpoint": {"Port": 65_536}},
        {"DNS": {"TTL": 1 << 32}},
        {"DNS": {"QTypes": [1, 65_536]}},
        {"DNS": {"IPs": [b"123"]}},
        {"DNS": {"IPs": [b"12345"]}},
        {"Kafka": {"APIVersion": 32_768}},
        {"Kafka": {"CorrelationID": -(1 << 31) - 1}},
    ],
)
def test_what_does_not_fit_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(GobError, match=r"out of range|an address of"):
        decode_log_record(payload(record))


def test_records_of_other_types_are_refused() -> None:
    other = Encoder(Struct("LogRecord", (("Type", Basic.UINT),)))
    with pytest.raises(GobError):
        decode_log_record(b"\x81" + other.descriptions + other.encode({"Type": 1}))
    with pytest.raises(GobError, match="begins with"):
        decode_log_record(b"\x82" + HEAD[1:])


@given(st.integers(0, len(HEAD) + 8))
def test_cut_anywhere_it_is_refused(length: int) -> None:
    whole = payload({"Type": "Request", "Timestamp": "t"})
    with pytest.raises(GobError):
        decode_log_record(whole[:length])
