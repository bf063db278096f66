from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.vocabulary import AddressVocabulary, Vocabulary, pair_keys, split_pair

KEYS = st.lists(st.sampled_from([0, 1, 7, 131_071, 131_072, 1 << 40, (1 << 64) - 1]), max_size=30)


@given(st.lists(KEYS, max_size=5))
def test_same_key_has_the_same_number_and_the_number_leads_back(batches: list[list[int]]) -> None:
    vocabulary = Vocabulary()
    for keys in batches:
        codes = vocabulary.codes(np.array(keys, np.uint64))
        assert [vocabulary.keys[code] for code in codes.tolist()] == keys
    distinct = {key for keys in batches for key in keys}
    assert len(vocabulary) == len(distinct) == len(set(vocabulary.keys))


@given(st.lists(st.tuples(st.sampled_from([0, 5, 1 << 63]), st.sampled_from([0, 5, 1 << 63]))))
def test_addresses_are_told_apart_by_both_halves(addresses: list[tuple[int, int]]) -> None:
    vocabulary = AddressVocabulary()
    halves = (np.array([pair[half] for pair in addresses], np.uint64) for half in (0, 1))
    codes = vocabulary.codes(*halves)
    assert [vocabulary.address(code) for code in codes.tolist()] == addresses


def test_pairs_come_apart_as_they_were_put_together() -> None:
    keys = pair_keys(np.array([0, 3, (1 << 32) - 1]), np.array([9, 0, (1 << 32) - 1]))
    assert [split_pair(key) for key in keys.tolist()] == [
        (0, 9),
        (3, 0),
        ((1 << 32) - 1, (1 << 32) - 1),
    ]
