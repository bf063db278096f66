"""Lists of responses of a size that one write takes well."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST_MAX_BYTES = 256 << 10
"""A list is framed and written in one go; larger ones only hold memory for longer."""


def response_lists(responses: list[bytes]) -> Iterator[list[bytes]]:
    """The same messages in order, as lists of at most `LIST_MAX_BYTES`, or of one message.

    Args:
        responses: serialised messages; without any there is no list.
    """
    if sum(map(len, responses)) <= LIST_MAX_BYTES:
        if responses:
            yield responses
        return
    start, size = 0, 0
    for index, response in enumerate(responses):
        if size and size + len(response) > LIST_MAX_BYTES:
            yield responses[start:index]
            start, size = index, 0
        size += len(response)
    yield responses[start:]
