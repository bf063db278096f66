from __future__ import annotations

import ipaddress

import pytest

from palomar_proto.flow.flow_pb2 import REQUEST, RESPONSE, SAMPLE
from palomar_server.decode.dns import dns_message, dns_summary

ANSWER = {
    "Query": "a.example.",
    "IPs": [ipaddress.ip_address(text).packed for text in ("192.0.2.1", "2001:db8::1")],
    "TTL": 30,
    "CNAMEs": ["b.example."],
    "ObservationSource": "proxy",
    "QTypes": [1, 28],
    "AnswerTypes": [5, 1, 65, 999],
}


def test_answer() -> None:
    message = dns_message(ANSWER, request=False)
    assert list(message.ips) == ["192.0.2.1", "2001:db8::1"]
    assert list(message.qtypes) == ["A", "AAAA"]
    assert list(message.rrtypes) == ["CNAME", "A", "HTTPS", "Unknown"]
    assert dns_summary(message, RESPONSE) == (
        'DNS Answer "192.0.2.1,2001:db8::1" CNAMEs: "b.example." TTL: 30 (Proxy a.example. A,AAAA)'
    )
    assert dns_summary(message, SAMPLE) == ""


def test_query_has_no_answer() -> None:
    message = dns_message(ANSWER, request=True)
    assert (message.ttl, list(message.ips), list(message.cnames)) == (0, [], [])
    assert dns_summary(message, REQUEST) == "DNS Query a.example. A,AAAA"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (3, "RCode: Non-Existent Domain"),
        (12, "RCode: Unknown"),
        (23, "RCode: Bad Cookie"),
        (-1, "RCode: Unknown"),
        # Eight bits wide in the summary, 32 in the message.
        (256, ""),
    ],
)
def test_codes(code: int, text: str) -> None:
    message = dns_message({"Query": "x.", "RCode": code}, request=False)
    assert message.rcode == code & 0xFFFFFFFF
    assert dns_summary(message, RESPONSE) == f"DNS Answer {text} TTL: 0 (Query x. )"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "invalid IP"),
        (ipaddress.ip_address("::ffff:1.2.3.4").packed, "::ffff:1.2.3.4"),
        (ipaddress.ip_address("fe80::1").packed + b"eth0", "fe80::1%eth0"),
        (ipaddress.ip_address("::").packed + b"\xff", "::%\ufffd"),
    ],
)
def test_addresses_are_written_as_go_does(data: bytes, text: str) -> None:
    assert list(dns_message({"IPs": [data]}, request=False).ips) == [text]


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ('a"b\\c', r'"a\"b\\c"'),
        ("\n\t\x00\x7f", r'"\n\t\x00\x7f"'),
        ("é", '"é"'),
        ("\u200b\U000e0001", r'"\u200b\U000e0001"'),
    ],
)
def test_names_are_quoted_as_go_does(name: str, quoted: str) -> None:
    message = dns_message({"CNAMEs": [name]}, request=False)
    assert f"CNAMEs: {quoted} TTL" in dns_summary(message, RESPONSE)
