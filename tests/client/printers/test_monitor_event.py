"""Raw payloads as text."""

import json
import struct

import pytest

from palomar.printers.monitor_event import hex_dump, payload_json, payload_text
from palomar_proto.monitor import agent_notice
from palomar_proto.monitor.payload import LOST, SAMPLE, Payload

TRACE = struct.pack("<BBHIIHBB", 4, 3, 1001, 0xCAFE, 1500, 128, 0, 0x50)


def text(data: bytes) -> str:
    return payload_text(Payload(data, 2, 0, SAMPLE), with_bytes=False)


def test_hex_dump_is_the_classic_one() -> None:
    assert hex_dump(bytes(range(0x1B, 0x2C)) + b"A~\x7f\xff") == (
        "00000000  1b 1c 1d 1e 1f 20 21 22  23 24 25 26 27 28 29 2a  |..... !\"#$%&'()*|\n"
        "00000010  2b 41 7e 7f ff                                    |+A~..|\n"
    )
    assert hex_dump(b"") == ""


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            TRACE,
            (
                "CPU 02: trace to-stack, version 0, extension 0x50, endpoint 1001, hash 0xcafe, "
                "packet 128 of 1500 bytes, 16 bytes\n"
            ),
        ),
        (
            struct.pack("<BBHIIHBB", 1, 133, 7, 0, 60, 60, 2, 0),
            (
                "CPU 02: drop (Policy denied), version 2, endpoint 7, hash 0x0, "
                "packet 60 of 60 bytes, 16 bytes\n"
            ),
        ),
        (b"\x05\x01", "CPU 02: policy-verdict, 2 bytes\n"),
        (b"\x02\x07" + bytes(18), "CPU 02: debug subtype 7, endpoint 0, hash 0x0, 20 bytes\n"),
        (b"\x63", "CPU 02: type 99, 1 bytes\n"),
        (b"", "CPU 02: empty message, 0 bytes\n"),
    ],
)
def test_line_says_what_the_head_says(data: bytes, line: str) -> None:
    assert text(data) == line


def test_notice_of_the_agent_is_shown_without_steering_the_terminal() -> None:
    notice = agent_notice.encode(7, {"pod-name": "x"})
    assert text(notice).startswith('CPU 02: agent endpoint-created, {"pod-name":"x"}, ')
    hostile = notice.replace(b"pod-name", b"pod\x1b[2m\r")
    assert "\x1b" not in text(hostile)
    assert "\r" not in text(hostile)


def test_losses_and_unknown_payloads_have_their_lines() -> None:
    assert payload_text(Payload(b"", 11, 5, LOST), with_bytes=True) == "CPU 11: LOST 5 events\n"
    assert payload_text(Payload(b"x", 0, 0, 3), with_bytes=True) == (
        "CPU 00: payload of unknown type 3\n"
    )


def test_bytes_follow_the_line() -> None:
    shown = payload_text(Payload(TRACE, 0, 0, SAMPLE), with_bytes=True)
    assert shown.splitlines()[1].startswith("00000000  04 03 e9 03 fe ca")


def test_json_has_what_is_there() -> None:
    assert json.loads(payload_json(Payload(TRACE, 2, 0, SAMPLE))) == {
        "cpu": 2,
        "payload_type": 9,
        "type_name": "trace",
        "type": 4,
        "subtype": 3,
        "subtype_name": "to-stack",
        "endpoint": 1001,
        "hash": 0xCAFE,
        "version": 0,
        "ext_version": 0x50,
        "original_bytes": 1500,
        "captured_bytes": 128,
        "data": TRACE.hex(),
    }
    assert json.loads(payload_json(Payload(b"", 1, 7, LOST))) == {
        "cpu": 1,
        "payload_type": 2,
        "lost": 7,
    }
    notice = json.loads(payload_json(Payload(agent_notice.encode(9, {}), 0, 0, SAMPLE)))
    assert notice["subtype_name"] == "ipcache-upserted"
    assert notice["agent_text"] == "{}"


def test_drops_of_the_kernel_say_its_reason() -> None:
    head = struct.pack("<BBHIIHBB", 1, 255, 0, 0, 60, 60, 2, 0x50)
    data = head.ljust(76, b"\0") + struct.pack("<I", 12)
    assert text(data).startswith("CPU 02: drop (kernel reason 12), version 2, extension 0x50,")
    assert json.loads(payload_json(Payload(data, 2, 0, SAMPLE)))["subtype_name"] == (
        "(kernel reason 12)"
    )
