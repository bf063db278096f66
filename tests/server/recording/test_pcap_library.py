from __future__ import annotations

import pytest

from palomar_server.recording.classic_bpf import INSTRUCTION, check_program
from palomar_server.recording.pcap_library import ExpressionError, compile_expression

ETHERNET, RAW = 1, 12


def test_an_expression_becomes_a_program_by_link_type() -> None:
    of_frames, of_raw = compile_expression("tcp", ETHERNET), compile_expression("tcp", RAW)
    assert of_frames.dtype == of_raw.dtype == INSTRUCTION
    check_program(of_frames)
    check_program(of_raw)
    # Load the ethertype; load the version.
    assert (of_frames[0]["code"], of_frames[0]["k"]) == (0x28, 12)
    assert (of_raw[0]["code"], of_raw[0]["k"]) == (0x30, 0)


def test_an_empty_expression_accepts_everything() -> None:
    assert compile_expression("", ETHERNET)["code"].tolist() == [6]


def test_what_does_not_compile_is_told_in_the_librarys_words() -> None:
    with pytest.raises(ExpressionError, match="syntax error"):
        compile_expression("tcp port", ETHERNET)
    with pytest.raises(ExpressionError, match=r"."):
        compile_expression("ether host 02:00:00:00:00:01", RAW)


def test_a_link_type_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ExpressionError, match=r"link.type|65000|DLT"):
        compile_expression("tcp", 65_000)
