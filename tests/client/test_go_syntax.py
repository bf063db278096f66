import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.errors import InvalidRequest
from palomar.go_syntax import parse_bool, parse_uint, quote


def test_booleans_are_the_twelve_words_of_go() -> None:
    assert all(parse_bool(text) for text in ("1", "t", "T", "true", "True", "TRUE"))
    assert not any(parse_bool(text) for text in ("0", "f", "F", "false", "False", "FALSE"))


@pytest.mark.parametrize("text", ["", "yes", "tRUE", "on", " 1"])
def test_other_words_are_no_booleans(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^strconv\.ParseBool: parsing .*: invalid syntax$"):
        parse_bool(text)


@given(st.integers(0, 2**64 - 1))
def test_every_number_of_64_bits_is_read_in_every_notation(number: int) -> None:
    assert parse_uint(str(number)) == number
    for text in (str(number), hex(number), oct(number), bin(number)):
        assert parse_uint(text, prefixes=True) == number


def test_flags_take_underscores_and_a_leading_zero_as_octal() -> None:
    assert parse_uint("1_000", prefixes=True) == 1000
    assert parse_uint("0_17", prefixes=True) == parse_uint("017", prefixes=True) == 15
    assert parse_uint("0xF_f", prefixes=True) == 255
    assert parse_uint("017") == 17


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", "1_", "_1", "1__0", "08", "0x", "1.0", "²"])
def test_what_is_no_number_is_called_so(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid syntax"):
        parse_uint(text, prefixes=True)


@pytest.mark.parametrize(("text", "bits"), [(str(2**64), 64), (str(2**32), 32), ("9" * 5000, 64)])
def test_what_is_too_large_is_called_so(text: str, bits: int) -> None:
    with pytest.raises(InvalidRequest, match="value out of range"):
        parse_uint(text, bits=bits)


def test_quotes_write_out_what_cannot_be_printed() -> None:
    assert quote('a"b\\c') == r'"a\"b\\c"'
    assert quote("\n\x1b\u2028\U000e0001é") == r'"\n\x1b\u2028\U000e0001é"'
    assert quote("\udcff") == r'"\xff"'
    assert quote('a"\\\x1b\r\x07\u202eé') == r'"a\"\\\x1b\r\a\u202eé"'


@given(st.text())
def test_quoted_text_is_printable(text: str) -> None:
    assert quote(text).isprintable()
