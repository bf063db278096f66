r"""The official C++ runtime of CEL, set up as Hubble sets up the one in Go, and bounded.

Its own `matches` compiles the pattern each time anew and without a limit: a tenth of a second for
`\pL{30}`, for every flow. Ours keeps what it compiled, and lets an evaluation compile a few only.
"""

from __future__ import annotations

import re
import threading
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from cel_expr_python import cel
from google.protobuf import descriptor_pool

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.pattern import compile_expression

if TYPE_CHECKING:
    from palomar_proto.flow_filter.pattern import Expression

NEW_PATTERNS_MAX = 4
"""Patterns of `matches` that one evaluation may compile: constant ones are known by the second
flow, and each takes some milliseconds at worst."""
_PATTERNS_KEPT = 64
_PATTERN_CHARACTERS_MAX = 1_024
_PATTERN_MEMORY_MAX = 256 << 10
_EXPRESSIONS_KEPT = 64

_VARIABLE = "_flow"
# Names that stand for others: a newer one of a macro, and the function that is ours. Texts and
# remarks stay as they are.
_NAMES = {"existsOne": "exists_one", "matches": "matches_re2"}
_NAME = re.compile(
    r"""("{3}.*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|//[^\n]*)"""
    r"""|\b(existsOne|matches)(?=\s*\()""",
    re.DOTALL,
)


class _Thread(threading.local):
    """What an evaluation has used up; one runs at a time in a thread."""

    patterns_left = 0


_thread = _Thread()


def check(source: str) -> None:
    """See that an expression is one, and a bool.

    Raises:
        ValueError: it is not; says why, as the end of a sentence.
    """
    try:
        result = _compiled(source).return_type()
    except RuntimeError as error:
        raise ValueError(f"is no CEL expression: {_first_line(error)}") from None
    if result != cel.Type.BOOL:
        raise ValueError(f"is of the type {result.name()}, not bool")
    if _may_be_null(source):
        raise ValueError("is a bool or null, not bool; compare it with true")


def evaluate(source: str, flow: flow_pb2.Flow) -> bool | None:
    """What an expression is for a flow; None if it cannot be evaluated."""
    _thread.patterns_left = NEW_PATTERNS_MAX
    try:
        value = _compiled(source).eval(data={_VARIABLE: flow}).value()
    except RuntimeError:  # over its budget of steps
        return None
    return value if isinstance(value, bool) else None


def _first_line(error: Exception) -> str:
    return str(error).removeprefix("INVALID_ARGUMENT: ").partition("\n")[0]


def _may_be_null(source: str) -> bool:
    """Whether an expression of the type bool is one that wraps a bool, like `_flow.is_reply`.

    Types do not tell, but only such may be compared with null.
    """
    try:
        _environment().compile(f"({_translated(source)}\n) == null")
    except RuntimeError:
        return False
    return True


@cache
def _environment() -> cel.Env:
    string, boolean = cel.Type.STRING, cel.Type.BOOL
    return cel.NewEnv(
        descriptor_pool=descriptor_pool.Default(),
        variables={_VARIABLE: cel.Type(flow_pb2.Flow.DESCRIPTOR.full_name)},
        container="flow",
        functions=[
            cel.FunctionDecl(
                _NAMES["matches"],
                [
                    cel.Overload(
                        f"{_NAMES['matches']}_{'member' if is_member else 'global'}",
                        boolean,
                        [string, string],
                        is_member,
                        _matches,
                    )
                    for is_member in (True, False)
                ],
            )
        ],
    )


def _matches(text: str, pattern: str) -> bool:
    return bool(_pattern(pattern).search(text))


@lru_cache(maxsize=_PATTERNS_KEPT)
def _pattern(pattern: str) -> Expression:
    if len(pattern) > _PATTERN_CHARACTERS_MAX:
        raise ValueError(f"a pattern is over {_PATTERN_CHARACTERS_MAX} characters long")
    if not _thread.patterns_left:
        raise ValueError(f"an evaluation has more than {NEW_PATTERNS_MAX} new patterns")
    _thread.patterns_left -= 1
    return compile_expression(pattern, _PATTERN_MEMORY_MAX)


@lru_cache(maxsize=_EXPRESSIONS_KEPT)
def _compiled(source: str) -> cel.Expression:
    """The compiled expression; kept, since every follower of a kind has the same."""
    return _environment().compile(_translated(source))


def _translated(source: str) -> str:
    return _NAME.sub(lambda found: found[1] or _NAMES[found[2]], source)
