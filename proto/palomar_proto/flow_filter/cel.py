"""experimental.cel_expression: boolean expressions of the Common Expression Language.

`_flow` is the flow.Flow, and names of its package need no prefix: `_flow.verdict ==
Verdict.DROPPED`. For events that are no flows it is an empty one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.error import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXPRESSION_CHARACTERS_MAX = 4_096
"""A longer expression is refused. How deep one may nest, 32, and how many steps over lists one
evaluation may take, 10,000, are limits of the runtime: over the first it does not compile, over the
second it counts as an error."""
EXPRESSIONS_MAX = 16
"""Expressions of one filter: each is evaluated for every event that the other fields leave."""

# The field of an unknown number makes it unequal to `flow.Flow{}`, as what is no flow is in Hubble.
_NO_FLOW = flow_pb2.Flow.FromString(b"\xf8\xff\xff\xff\x0f\x01")


@dataclass(frozen=True, slots=True)
class CelExpressions:
    """Expressions, as alternatives."""

    sources: tuple[str, ...]
    """As they were written."""

    def matches(self, flow: flow_pb2.Flow | None) -> bool:
        """Whether one of them is true of the flow; None: of an event that is none.

        They are evaluated in their order, and one that cannot be ends it: nothing matches then, as
        with Hubble.
        """
        from palomar_proto.flow_filter.cel_runtime import evaluate  # noqa: PLC0415 - see below

        for source in self.sources:
            answer = evaluate(source, _NO_FLOW if flow is None else flow)
            if answer is not False:
                return answer is True
        return False


def parse_cel_expressions(field: str, values: Iterable[str]) -> CelExpressions:
    """The expressions of a field, compiled and checked.

    Raises:
        FilterError: an expression is wrong, is not a bool, or there are too many or too long ones.
    """
    # Not before it is needed: the runtime takes 15 MiB.
    from palomar_proto.flow_filter.cel_runtime import check  # noqa: PLC0415

    sources = tuple(values)
    if len(sources) > EXPRESSIONS_MAX:
        raise FilterError(field, len(sources), f"expressions are over {EXPRESSIONS_MAX}")
    for source in sources:
        if len(source) > EXPRESSION_CHARACTERS_MAX:
            raise FilterError(field, source, f"is over {EXPRESSION_CHARACTERS_MAX} characters long")
        try:
            check(source)
        except ValueError as error:
            raise FilterError(field, source, str(error)) from None
    return CelExpressions(sources)
