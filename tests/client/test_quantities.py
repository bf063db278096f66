import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from palomar.quantities import (
    bars,
    bytes_text,
    count_text,
    figures_table,
    rate_text,
    time_text,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (150 << 20, "150 MiB"),
        (2**70, "1,024 EiB"),
    ],
)
def test_bytes_are_written_in_the_largest_unit(number: int, text: str) -> None:
    assert bytes_text(number) == text


def test_counts_and_rates() -> None:
    assert count_text(1234567) == "1,234,567"
    assert [rate_text(value) for value in (0, 0.25, 1234.6)] == ["0.0", "0.2", "1,235"]


def test_times_are_in_utc() -> None:
    time = Timestamp(seconds=1709634030, nanos=120_000_000)
    assert time_text(time) == "2024-03-05 10:20:30Z"
    assert time_text(time, precise=True) == "2024-03-05 10:20:30.120Z"
    assert time_text(Timestamp(seconds=2**60)) == f"{2**60} s"


@given(st.lists(st.integers(min_value=0, max_value=2**64)))
def test_bars_are_as_many_as_values_and_show_what_is_not_nothing(values: list[int]) -> None:
    drawn = bars(values)
    assert len(drawn) == len(values)
    assert [bar == " " for bar in drawn] == [value == 0 for value in values]


def test_figures_are_flush_right() -> None:
    table = figures_table(["POD", "FLOWS", ""], [["a", "1", "x"], ["bcd", "12,345", ""]], names=1,
                          plain=1)  # fmt: skip
    assert table.splitlines() == ["POD    FLOWS", "a          1   x", "bcd   12,345"]
