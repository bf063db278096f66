import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar.duration_errors import duration_error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", 'time: missing unit in duration "5"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("", 'time: invalid duration ""'),
        ("soon", 'time: invalid duration "soon"'),
        ("-", 'time: invalid duration "-"'),
        (".s", 'time: invalid duration ".s"'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
        ("-1.5x3s", 'time: unknown unit "x" in duration "-1.5x3s"'),
        ("9999999999h", 'time: invalid duration "9999999999h"'),
    ],
)
def test_words_are_those_of_go(text: str, message: str) -> None:
    assert duration_error(text) == message


@settings(deadline=None)  # machines have slow moments
@given(st.text())
def test_any_text_gets_one_line(text: str) -> None:
    assert duration_error(text).startswith("time: ")
    assert "\n" not in duration_error(text)
