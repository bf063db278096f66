import pytest

from palomar.errors import InvalidRequest
from palomar.filters import Filter
from palomar.triggers import parse_trigger


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("verdict=drop,pod=web", Filter(verdict="drop", pod="web")),
        (" verdict = drop , --port=80,", Filter(verdict="drop", port=80)),
        ("label=app in (a, b),port=80", Filter(label="app in (a, b)", port=80)),
        ("label=app=web", Filter(label="app=web")),
        ("ipv6", Filter(ipv6=True)),
        ("port=80,port=443", Filter(port=[80, 443])),
    ],
)
def test_words_are_flags_and_all_must_match(text: str, expected: Filter) -> None:
    assert parse_trigger(text) == expected.messages


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no filter"),
        (" , ", "names no filter"),
        ("colour=red", "no filter 'colour'"),
        ("verdict", "has no value"),
        ("not-pod=web", "leaves something out"),
        ("not,pod=web", "leaves something out"),
        ("port=x", "port"),
    ],
)
def test_what_means_nothing_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        parse_trigger(text)
