from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palomar_server import response_lists as module
from palomar_server.response_lists import LIST_MAX_BYTES, response_lists


def test_few_responses_are_one_list() -> None:
    assert list(response_lists([b"a", b"b"])) == [[b"a", b"b"]]
    assert list(response_lists([])) == []


def test_a_list_of_the_largest_size_is_one() -> None:
    half = b"x" * (LIST_MAX_BYTES // 2)
    assert [len(one) for one in response_lists([half, half])] == [2]
    assert [len(one) for one in response_lists([half, half, b"x"])] == [2, 1]


@given(st.lists(st.binary(max_size=30), max_size=30))
def test_lists_are_no_larger_than_allowed_and_lack_nothing(responses: list[bytes]) -> None:
    before = module.LIST_MAX_BYTES
    module.LIST_MAX_BYTES = 40
    try:
        found = list(response_lists(responses))
    finally:
        module.LIST_MAX_BYTES = before
    assert [one for part in found for one in part] == responses
    assert all(part and (len(part) == 1 or sum(map(len, part)) <= 40) for part in found)
