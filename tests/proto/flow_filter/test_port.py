"""Ports of filters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.port import parse_ports


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "+80",
            "-1",
            "80 ",
            " 80",
            "0x50",
            "1e2",
            "8_0",
            "http",
            "80-90",
            "65536",
            "80.",
        ),
        *("٣", "²", "9" * 10_000),
    ],
)
def test_what_is_no_port_is_refused(value: str) -> None:
    with pytest.raises(FilterError, match="is no port number from 0 to 65535"):
        parse_ports("source_port", [value])


@given(st.integers(0, 65_535), st.integers(0, 5_000))
def test_zeros_may_lead(number: int, zeros: int) -> None:
    assert parse_ports("source_port", ["0" * zeros + str(number)]) == {number}
