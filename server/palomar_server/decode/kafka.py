"""Kafka in access logs: the request or response as flow.Kafka, and its summary.

Rules: Hubble's L7 parser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palomar_proto.flow import flow_pb2
from palomar_server.decode.http import REDACTED

if TYPE_CHECKING:
    from palomar_server.decode.options import Redaction

_SIGN_BIT, _RANGE = 1 << 31, 1 << 32


def kafka_message(
    record: dict[str, Any], redaction: Redaction | None, *, request: bool
) -> flow_pb2.Kafka:
    """Describe a request or response.

    Args:
        record: the `Kafka` of a log record.
        redaction: what is withheld.
        request: it is a request, whose error code says nothing.
    """
    withheld = redaction is not None and redaction.kafka_api_key
    message = flow_pb2.Kafka(
        api_version=record.get("APIVersion", 0),
        api_key=REDACTED if withheld else record.get("APIKey", ""),
        correlation_id=record.get("CorrelationID", 0),
        topic=record.get("Topic", {}).get("Topic", ""),
    )
    if not request:
        # Go cuts the number to 32 bits.
        message.error_code = (record.get("ErrorCode", 0) + _SIGN_BIT) % _RANGE - _SIGN_BIT
    return message


def kafka_summary(message: flow_pb2.Kafka, flow_type: int) -> str:
    """Such as `Kafka request produce correlation id 7 topic 'orders'`.

    Args:
        message: as of `kafka_message`.
        flow_type: flow.L7FlowType; all but requests are told as responses.
    """
    what = f"{message.api_key} correlation id {message.correlation_id} topic '{message.topic}'"
    if flow_type == flow_pb2.REQUEST:
        return f"Kafka request {what}"
    return f"Kafka response {what} return code {message.error_code}"
