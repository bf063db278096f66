from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder import pcapng_blocks as blocks


def test_interface_is_byte_for_byte_what_the_draft_says() -> None:
    raw = blocks.interface_description("eth0", 1, 96)
    assert raw.hex() == (
        "01000000" "28000000" "0100" "0000" "60000000"  # type, length, linktype, reserved, snaplen
        "0200" "0400" "65746830"  # if_name
        "0900" "0100" "09000000"  # if_tsresol: 10 to the minus 9
        "00000000" "28000000"
    )  # fmt: skip


def test_interface_without_a_name_has_no_such_option() -> None:
    assert b"\2\0\0\0" not in blocks.interface_description("", 1, 0)[16:]


def test_section_has_no_known_length() -> None:
    raw = blocks.section_header([blocks.text_option(blocks.OPT_COMMENT, "ä")])
    assert raw.hex() == (
        "0a0d0d0a" "28000000" "4d3c2b1a" "0100" "0000" "ffffffffffffffff"
        "0100" "0200" "c3a40000" "00000000" "28000000"
    )  # fmt: skip


def test_times_have_their_upper_half_first() -> None:
    assert blocks.time_option(2, 0x1_0000_0002).hex() == "020008000100000002000000"
    raw = blocks.interface_statistics(3, 0x1_0000_0002, [])
    assert raw.hex() == "050000001800000003000000010000000200000018000000"


def test_number_has_64_bits() -> None:
    assert blocks.number_option(7, 1 << 40).hex() == "070008000000000000010000"


def test_no_options_have_no_end() -> None:
    assert blocks.ended(b"") == b""
    assert blocks.text_option(1, "") == b""


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 30))
def test_long_text_is_cut_between_characters(text: str, bytes_max: int) -> None:
    option = blocks.text_option(1, text, bytes_max)
    length = int.from_bytes(option[2:4], "little")
    assert length <= bytes_max
    assert len(option) % 4 == 0
    assert text.startswith(option[4 : 4 + length].decode())


@pytest.mark.parametrize("text", ["a" * 70_000, "ä" * 40_000, "\udc80"])
def test_any_text_fits_an_option(text: str) -> None:
    option = blocks.text_option(1, text)
    assert len(option) <= 4 + blocks.TEXT_BYTES_MAX
    assert len(option) == 4 + -(-int.from_bytes(option[2:4], "little") // 4) * 4
