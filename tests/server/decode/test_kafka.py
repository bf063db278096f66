from __future__ import annotations

import pytest

from palomar_proto.flow.flow_pb2 import REQUEST, RESPONSE, SAMPLE
from palomar_server.decode.kafka import kafka_message, kafka_summary
from palomar_server.decode.options import Redaction

RECORD = {
    "ErrorCode": 29,
    "APIVersion": 3,
    "APIKey": "produce",
    "CorrelationID": -7,
    "Topic": {"Topic": "orders"},
}


def test_request() -> None:
    message = kafka_message(RECORD, None, request=True)
    assert (message.error_code, message.api_version, message.topic) == (0, 3, "orders")
    expected = "Kafka request produce correlation id -7 topic 'orders'"
    assert kafka_summary(message, REQUEST) == expected


@pytest.mark.parametrize("flow_type", [RESPONSE, SAMPLE, 0])
def test_all_else_is_told_as_response(flow_type: int) -> None:
    message = kafka_message(RECORD, None, request=False)
    assert kafka_summary(message, flow_type) == (
        "Kafka response produce correlation id -7 topic 'orders' return code 29"
    )


def test_api_key_can_be_withheld() -> None:
    message = kafka_message(RECORD, Redaction(kafka_api_key=True), request=True)
    assert message.api_key == "HUBBLE_REDACTED"
    assert kafka_message(RECORD, Redaction(), request=True).api_key == "produce"


def test_error_codes_are_cut_as_go_does() -> None:
    message = kafka_message({"ErrorCode": (1 << 33) - 1}, None, request=False)
    assert message.error_code == -1
