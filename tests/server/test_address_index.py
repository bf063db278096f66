from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.address_index import AddressIndex

# Few addresses, with the halves that an empty slot holds among them.
ADDRESSES = st.tuples(st.sampled_from([0, 1, 1 << 63]), st.sampled_from([0, 1, 2, (1 << 64) - 1]))
TIMES = st.integers(0, 20)
TENURES = st.lists(st.tuples(TIMES, st.integers(0, 9)), min_size=1, max_size=5)


def rows_of(index: AddressIndex, queries: list[tuple[tuple[int, int], int]]) -> list[int]:
    rows = index.rows(
        np.array([hi for (hi, _), _ in queries], np.uint64),
        np.array([lo for (_, lo), _ in queries], np.uint64),
        np.array([time for _, time in queries], np.uint64),
    )
    return [int(row) for row in rows]


@given(
    st.dictionaries(ADDRESSES, TENURES.map(sorted), max_size=9),
    st.lists(st.tuples(ADDRESSES, TIMES), max_size=30),
)
def test_the_last_tenure_that_had_begun_owns_the_address(
    owners: dict[tuple[int, int], list[tuple[int, int]]],
    queries: list[tuple[tuple[int, int], int]],
) -> None:
    expected = []
    for address, time in queries:
        begun = [row for since, row in owners.get(address, []) if since <= time]
        expected.append(begun[-1] if begun else 0)
    assert rows_of(AddressIndex(owners), queries) == expected


def test_colliding_addresses_are_told_apart() -> None:
    # As many as a fourth of the slots: hundreds of chains are longer than one.
    addresses = [(number, number * 7) for number in range(4096)]
    index = AddressIndex({address: [(0, row + 1)] for row, address in enumerate(addresses)})
    assert rows_of(index, [(address, 5) for address in addresses]) == list(range(1, 4097))
    assert rows_of(index, [((hi, lo + 1), 5) for hi, lo in addresses]) == [0] * 4096


def test_colliding_addresses_that_moved_are_told_apart() -> None:
    addresses = [(number, number * 7) for number in range(4096)]
    index = AddressIndex(
        {address: [(0, row + 1), (10, row + 5001)] for row, address in enumerate(addresses)}
    )
    assert rows_of(index, [(address, 9) for address in addresses]) == list(range(1, 4097))
    assert rows_of(index, [(address, 10) for address in addresses]) == list(range(5001, 9097))


def test_an_empty_index_knows_nobody() -> None:
    assert rows_of(AddressIndex({}), [((0, 0), 0), ((1, 1), 1)]) == [0, 0]
    assert rows_of(AddressIndex({}), []) == []
