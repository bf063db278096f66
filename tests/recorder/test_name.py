from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder.name import (
    InvalidNameError,
    check_file_name,
    check_name,
    file_stem,
    node_part,
)


@pytest.mark.parametrize("name", ["a", "palomar", "web-drops-2", "a" * 40])
def test_plain_names_are_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "-a", "a" * 41, "a_b", "a/b", "..", "a\n", "ä", "a b", "a\0"]
)
def test_other_names_are_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(InvalidNameError, match="lower-case letters, digits and hyphens"):
        check_name(name)


def test_an_error_shows_a_name_in_one_short_plain_line() -> None:
    with pytest.raises(InvalidNameError) as caught:
        check_name("\x1b[31m\n" + "x" * 10_000)
    assert re.fullmatch(r"[ -~]{1,200}", str(caught.value))


@pytest.mark.parametrize(
    "file_name",
    [
        *("", ".pcap", "x", "x.txt", "../x.pcap", "a/x.pcap", ".x.pcap", "-x.pcap", "x.pcap\n"),
        *("x.pcap.partial", "x.pcap.json", "x\0.pcap", "ä.pcap", f"{'a' * 221}.pcap", "..pcap"),
    ],
)
def test_only_names_of_recorded_files_are_file_names(file_name: str) -> None:
    with pytest.raises(InvalidNameError):
        check_file_name(file_name)


@given(st.text(max_size=300))
def test_any_nodes_file_has_a_name_that_is_allowed_and_short_enough(node_name: str) -> None:
    stem = file_stem("a" * 40 + "-01234567", node_name)
    file_name = check_file_name(f"{stem}.pcapng")
    assert len(f"{file_name}.json.partial") <= 255


def test_foreign_characters_of_a_nodes_name_become_underscores() -> None:
    assert node_part("default/node-1.example") == "default_node-1.example"
    assert file_stem("web-0badcafe", "a:b") == "web-0badcafe_a_b"
