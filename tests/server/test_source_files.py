from __future__ import annotations

import pytest

from palomar_server.source_files import source_file


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "unknown(0)"),
        (2, "bpf_lxc.c"),
        (8, "unknown(8)"),
        (101, "drop.h"),
        (115, "classifiers.h"),
        (255, "unknown(255)"),
    ],
)
def test_source_files_are_named_by_number(number: int, name: str) -> None:
    assert source_file(number) == name
