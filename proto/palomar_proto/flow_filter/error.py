"""What every parse function of this package raises."""

from __future__ import annotations

import reprlib


class FilterError(ValueError):
    """A value of a FlowFilter breaks the rule of its field.

    Args:
        field: the field's proto name.
        value: what was given.
        rule: what is wrong with it, as the end of a sentence that field and value begin.
    """

    def __init__(self, field: str, value: object, rule: str) -> None:
        # Shortened: the text may end up in a gRPC status, which has a limit of its own.
        super().__init__(f"{field}: {reprlib.repr(value)} {rule}")
        self.field = field
        self.value = value
        self.rule = rule
