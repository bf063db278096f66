from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.filters.answers import SLOTS_MAX, Answers

NUMBERS = st.integers(0, (1 << 64) - 1) | st.integers(0, 5)


@given(st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30), max_size=5))
def test_answers_are_those_of_the_question(looks: list[list[tuple[int, int]]]) -> None:
    def ask(one: int, other: int) -> bool:
        return (one ^ other) % 3 == 0

    answers = Answers(ask, 2)
    for look in looks:
        columns = np.array(look, np.uint64).reshape(-1, 2)
        said = answers.look_up(columns[:, 0].copy(), columns[:, 1].copy())
        assert said.tolist() == [ask(*row) for row in look]


def test_a_question_is_asked_once_until_it_is_forgotten() -> None:
    asked: list[int] = []

    def ask(number: int) -> bool:
        asked.append(number)
        return number == 1

    answers = Answers(ask, 1)
    for _ in range(3):
        column = np.array([1, 2, 1, 2], np.uint64)
        assert answers.look_up(column).tolist() == [True, False, True, False]
    assert sorted(asked) == [1, 2]
    answers.forget()
    answers.look_up(np.array([1], np.uint64))
    assert len(asked) == 3


@pytest.mark.parametrize("count", [1_000, 3 * SLOTS_MAX])
def test_more_keys_than_slots_are_answered_all_the_same(count: int) -> None:
    answers = Answers(lambda number: number % 2 == 1, 1)
    column = np.arange(count, dtype=np.uint64)
    for start, end in pairwise(range(0, count + 1, count // 10)):
        some = column[start:end]
        assert answers.look_up(some).tolist() == (some % 2 == 1).tolist()
    assert answers.look_up(column).tolist() == (column % 2 == 1).tolist()


def test_a_question_that_fails_leaves_the_answers_there_were() -> None:
    def ask(number: int) -> bool:
        if number in broken:
            raise LookupError
        return number % 2 == 0

    broken = set(range(1_000, 2_000))
    answers = Answers(ask, 1)
    known = np.arange(0, 1_000, 2, dtype=np.uint64)
    assert answers.look_up(known).all()
    for number in broken:
        with pytest.raises(LookupError):
            answers.look_up(np.array([number], np.uint64))
    broken.clear()
    assert not answers.look_up(np.arange(1_001, 2_000, 2, dtype=np.uint64)).any()
