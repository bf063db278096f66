import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from palomar.printers.escape import visible

CONTROLS = st.characters(categories=["Cc", "Cf"])


@given(st.text(st.one_of(st.characters(), CONTROLS)))
def test_no_control_character_comes_through(text: str) -> None:
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) == "Cc"]
    assert not set(shown) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"
    )
    assert visible(shown) == shown


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs"])))
def test_other_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_escape_and_carriage_return_are_written_as_hubble_does() -> None:
    assert visible("\x1b[2J\r\n\t\x00\x9b\x7f\u202e") == "^[[2J\\r\\n\\t\\x00\\x9b\\x7f\\u202e"
