"""Numbers for rules in the kernel: which are free, and which may still be on packets to come.

A packet carries the numbers of the rules that it matched. One that has not been read yet may carry
that of a rule which is gone, so the number is not given to another before all such packets are.
"""

from __future__ import annotations

from collections import deque


class RuleNumbers:
    """Gives numbers from 0 on. For one thread at a time.

    Args:
        numbers_max: how many there are.
    """

    def __init__(self, numbers_max: int) -> None:
        self._free = deque(range(numbers_max))
        self._retired: deque[tuple[int, int]] = deque()

    @property
    def free(self) -> int:
        """How many could be taken."""
        return len(self._free)

    def take(self, count: int) -> list[int] | None:
        """Take some numbers, or none if there are not so many."""
        if count > len(self._free):
            return None
        return [self._free.popleft() for _ in range(count)]

    def retire(self, number: int, until: int) -> None:
        """Give a number back that is in no rule any more.

        Args:
            number: the number.
            until: the reading after which no packet carries it; never lower than the time before.
        """
        self._retired.append((until, number))

    def reached(self, reading: int) -> None:
        """Free what was retired until this reading, or one before it."""
        while self._retired and self._retired[0][0] <= reading:
            self._free.append(self._retired.popleft()[1])
