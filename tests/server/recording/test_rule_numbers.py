"""Numbers of rules are used again only when no packet can carry them any more."""

from palomar_server.recording.rule_numbers import RuleNumbers


def test_numbers_are_given_once() -> None:
    numbers = RuleNumbers(4)
    assert numbers.take(3) == [0, 1, 2]
    assert numbers.free == 1


def test_where_there_are_too_few_none_is_taken() -> None:
    numbers = RuleNumbers(4)
    assert numbers.take(5) is None
    assert numbers.free == 4


def test_a_retired_number_is_free_after_its_reading() -> None:
    numbers = RuleNumbers(2)
    numbers.take(2)
    numbers.retire(1, until=5)
    numbers.retire(0, until=6)
    numbers.reached(4)
    assert numbers.take(1) is None
    numbers.reached(5)
    assert numbers.take(1) == [1]
    numbers.reached(9)
    assert numbers.take(1) == [0]
