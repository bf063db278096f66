import pytest

from palomar.errors import InvalidRequest
from palomar.event_types import event_type_filter


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("drop", {"type": 1}),
        ("DROP", {"type": 1}),
        ("129", {"type": 129}),
        ("drop:133", {"type": 1, "match_sub_type": True, "sub_type": 133}),
        ("trace:to-endpoint", {"type": 4, "match_sub_type": True, "sub_type": 0}),
        ("trace:From-Crypto", {"type": 4, "match_sub_type": True, "sub_type": 12}),
        ("agent:policy-updated", {"type": 130, "match_sub_type": True, "sub_type": 3}),
    ],
)
def test_names_and_numbers(text: str, fields: dict[str, int | bool]) -> None:
    assert event_type_filter(text) == fields


@pytest.mark.parametrize(
    "text",
    ["", "-1", "bogus", "bogus:1", "trace:", "trace:bogus", "4:to-stack", "99999999999", "²"],
)
def test_unknown_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="type"):
        event_type_filter(text)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("to-stack", {"type": 4, "match_sub_type": True, "sub_type": 3}),
        ("TO_STACK", {"type": 4, "match_sub_type": True, "sub_type": 3}),
        ("dropped", {"type": 1}),
        ("policy_verdict", {"type": 5}),
    ],
)
def test_short_forms_of_types(text: str, fields: dict[str, int]) -> None:
    assert event_type_filter(text) == fields
