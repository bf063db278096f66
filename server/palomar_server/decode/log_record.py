"""The record of an access log: what a proxy says of a request, a response or a sample.

A message is the byte 129 and the gob of `LogRecord`, as pkg/proxy/accesslog of Cilium 1.19 has it.
gob leaves out what is zero, so everything is optional.
"""

from __future__ import annotations

from typing import Any

from palomar_proto.gob import Basic, GobError, Map, Opaque, Slice, Struct, decode_value

MESSAGE_TYPE = 129
"""First byte of the message."""

_INT, _UINT, _STRING = Basic.INT, Basic.UINT, Basic.STRING
_STRINGS = Slice(_STRING, "[]string")
_NUMBERS = Slice(_UINT, "[]uint16")
_HEADERS = Map(_STRING, _STRINGS, "Header")

_LABEL = Struct("Label", (("Key", _STRING), ("Value", _STRING), ("Source", _STRING)))
_ENDPOINT = Struct(
    "EndpointInfo",
    (
        ("ID", _UINT),
        ("IPv4", _STRING),
        ("IPv6", _STRING),
        ("Port", _UINT),
        ("Identity", _UINT),
        ("Labels", Slice(_LABEL, "LabelArray")),
    ),
)
_HTTP = Struct(
    "LogRecordHTTP",
    (
        ("Code", _INT),
        ("Method", _STRING),
        ("URL", Opaque("URL")),
        ("Protocol", _STRING),
        ("Headers", _HEADERS),
        ("MissingHeaders", _HEADERS),
        ("RejectedHeaders", _HEADERS),
    ),
)
_KAFKA = Struct(
    "LogRecordKafka",
    (
        ("ErrorCode", _INT),
        ("APIVersion", _INT),
        ("APIKey", _STRING),
        ("CorrelationID", _INT),
        ("Topic", Struct("KafkaTopic", (("Topic", _STRING),))),
    ),
)
_DNS = Struct(
    "LogRecordDNS",
    (
        ("Query", _STRING),
        ("IPs", Slice(Opaque("Addr"), "[]netip.Addr")),
        ("TTL", _UINT),
        ("CNAMEs", _STRINGS),
        ("ObservationSource", _STRING),
        ("RCode", _INT),
        ("QTypes", _NUMBERS),
        ("AnswerTypes", _NUMBERS),
    ),
)
_GENERIC = Struct(
    "LogRecordL7", (("Proto", _STRING), ("Fields", Map(_STRING, _STRING, "map[string]string")))
)
_ADDRESS_AND_PORT = Struct("IPPort", (("IP", _STRING), ("Port", _UINT)))
LOG_RECORD = Struct(
    "LogRecord",
    (
        ("Type", _STRING),
        ("Timestamp", _STRING),
        ("NodeAddressInfo", Struct("NodeAddressInfo", (("IPv4", _STRING), ("IPv6", _STRING)))),
        ("ObservationPoint", _STRING),
        ("SourceEndpoint", _ENDPOINT),
        ("DestinationEndpoint", _ENDPOINT),
        ("IPVersion", _UINT),
        ("Verdict", _STRING),
        ("Info", _STRING),
        ("Metadata", _STRINGS),
        ("TransportProtocol", _UINT),
        ("FlowEvent", _STRING),
        ("ServiceInfo", Struct("ServiceInfo", (("Name", _STRING), ("IPPort", _ADDRESS_AND_PORT)))),
        ("DropReason", _UINT),
        ("HTTP", _HTTP),
        ("Kafka", _KAFKA),
        ("DNS", _DNS),
        ("L7", _GENERIC),
    ),
)
"""The type as Go has it."""

_RANGES = (
    (("IPVersion",), 0, 1 << 8),
    (("TransportProtocol",), 0, 1 << 8),
    (("SourceEndpoint", "Port"), 0, 1 << 16),
    (("DestinationEndpoint", "Port"), 0, 1 << 16),
    (("DNS", "TTL"), 0, 1 << 32),
    (("DNS", "QTypes"), 0, 1 << 16),
    (("DNS", "AnswerTypes"), 0, 1 << 16),
    (("Kafka", "APIVersion"), -1 << 15, 1 << 15),
    (("Kafka", "CorrelationID"), -1 << 31, 1 << 31),
)
"""Of fields that are less than 64 bits wide: the lowest number, and the first that is too high."""
_ADDRESS_BYTES = (0, 4, 16)
"""As netip.Addr marshals none, IPv4 and IPv6; a zone may follow the latter."""


def decode_log_record(payload: bytes) -> dict[str, Any]:
    """The record in a monitor message; what follows it is padding.

    Numbers are within the sizes that Go's fields have, addresses have lengths that addresses have.

    Raises:
        GobError: it is no record, or damaged.
    """
    if payload[:1] != bytes((MESSAGE_TYPE,)):
        raise GobError(f"an access log begins with the byte {MESSAGE_TYPE}")
    record: dict[str, Any] = decode_value(payload[1:], LOG_RECORD)
    _check_numbers(record)
    for address in record.get("DNS", {}).get("IPs", ()):
        if len(address) not in _ADDRESS_BYTES and len(address) < _ADDRESS_BYTES[-1]:
            raise GobError(f"an address of {len(address)} bytes")
    return record


def _check_numbers(record: dict[str, Any]) -> None:
    """Hold numbers against the sizes of Go's fields: gob has none, its decoder does."""
    for path, lowest, end in _RANGES:
        *parts, name = path
        holder = record
        for part in parts:
            holder = holder.get(part, {})
        value = holder.get(name, 0)
        for number in value if isinstance(value, list) else (value,):
            if not lowest <= number < end:
                raise GobError(f"{number} is out of range for {'.'.join(path)}")
