from __future__ import annotations

import pytest

from palomar_proto.monitor.reason_text import reason_text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "Success"),
        (15, "MTU error message"),
        (133, "Policy denied"),
        (136, "Fragmentation needed"),
        (205, "Punt to proxy"),
        # A gap in the numbers, and what a later release may add.
        (159, "159, 0"),
        (255, "255, 0"),
    ],
)
def test_codes_are_told_in_words_or_as_numbers(code: int, text: str) -> None:
    assert reason_text(code) == text
