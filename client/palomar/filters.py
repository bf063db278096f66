"""Filters: keywords in, flow.FlowFilter messages out.

A flow passes if it matches any message of one list and none of another; no messages in the first
let all pass. Which keywords there are says `filter_flags`, how they become messages
`filter_builder`. What only some filters need is imported by those: the command line starts faster.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self, Unpack, cast

from palomar.errors import InvalidRequest
from palomar.filter_builder import Exclusions, FilterBuilder, Messages
from palomar.filter_flags import FILTER_KEYS, FilterKey, FilterKeywords
from palomar_proto.flow.flow_pb2 import FlowFilter

MESSAGES_MAX: Final = 1024
"""More messages than this in one filter are refused: every flow is held against each of them."""

# How tightly the text of a filter binds, so that `repr` knows where parentheses are needed.
_OR, _AND, _ATOM = range(3)


class Filter:
    """What flows to select.

        Filter(pod="web", verdict="dropped")           # both must match
        Filter(port=[80, 443], from_namespace="shop")  # either port
        Filter(pod="web", not_port=443)                # and not that port
        Filter(pod="web") & ~Filter(verdict="dropped") | Filter(type="l7")

    `&`, `|` and `~` are and, or and not. What they make must be something a server can evaluate: a
    list of what to let pass and a list of what to leave out of it. `repr` shows the expression,
    which evaluates to an equal filter; `str` says it in words.

    Args:
        **keywords: See `FilterKeywords`. None at all matches every flow.

    Raises:
        InvalidRequest: A value means nothing, or keywords exclude each other.
        TypeError: There is no such keyword.
    """

    def __init__(self, **keywords: Unpack[FilterKeywords]) -> None:
        allow, exclusions = FilterBuilder(), Exclusions()
        for keyword, given in keywords.items():
            for key, text, negated in _flags(keyword, given):
                if negated:
                    exclusions.add(key, text)
                else:
                    allow.add(key, text)
        shown = ", ".join(f"{name}={value!r}" for name, value in keywords.items())
        self._set(allow.messages(), exclusions.messages(), f"Filter({shown})", _ATOM)

    @classmethod
    def from_lists(
        cls,
        allowlist: Iterable[FlowFilter | str] = (),
        denylist: Iterable[FlowFilter | str] = (),
    ) -> Self:
        """Make a filter of messages, or of JSON texts of them as `--print-raw-filters` shows.

        Args:
            allowlist: A flow must match one of these; none lets all pass.
            denylist: A flow that matches one of these is left out.

        Raises:
            InvalidRequest: A text is no filter.
        """
        from palomar.raw_filters import filter_json  # noqa: PLC0415 - as the module says

        allow = tuple(_read_list("allowlist", allowlist))
        deny = tuple(_read_list("denylist", denylist))
        lists = {"allowlist": allow, "denylist": deny}
        shown = ", ".join(
            f"{name}={[filter_json(one) for one in messages]!r}"
            for name, messages in lists.items()
            if messages
        )
        return cls._made(allow, deny, f"Filter.from_lists({shown})", _ATOM)

    @property
    def allow(self) -> Messages:
        """A flow must match one of these; none lets all pass."""
        return self._allow

    @property
    def deny(self) -> Messages:
        """A flow that matches one of these is left out."""
        return self._deny

    @property
    def messages(self) -> Messages:
        """What to let pass as messages of which a flow must match one.

        Raises:
            InvalidRequest: The filter also leaves something out, which these cannot say.
        """
        if self._deny:
            raise InvalidRequest(f"{self!r} leaves something out; use its allow and deny lists")
        return self._allow or (FlowFilter(),)

    def __and__(self, other: Self) -> Self:
        if not isinstance(other, Filter):
            return NotImplemented
        text = f"{self._operand(_AND)} & {other._operand(_ATOM)}"
        deny = self._deny + other._deny
        if not self._allow or not other._allow:
            return self._made(self._allow or other._allow, deny, text, _AND)
        allow = _product(self._allow, other._allow)
        return self._made(allow, deny if allow else (FlowFilter(),), text, _AND)

    def __or__(self, other: Self) -> Self:
        if not isinstance(other, Filter):
            return NotImplemented
        text = f"{self._operand(_OR)} | {other._operand(_AND)}"
        if _nothing(self._deny) or _nothing(other._deny):
            rest = other if _nothing(self._deny) else self
            return self._made(rest._allow, rest._deny, text, _OR)
        everything = not (self._allow and other._allow)
        allow = () if everything else self._allow + other._allow
        if self._deny == other._deny:
            return self._made(allow, self._deny, text, _OR)
        if not self._allow and not other._allow:
            both = _product(self._deny, other._deny) if self._deny and other._deny else ()
            return self._made((), both, text, _OR)
        raise InvalidRequest(
            f"{self!r} and {other!r} leave out different flows, which one request cannot say; "
            "leave them out of both, as in (one | other) & ~excluded"
        )

    def __invert__(self) -> Self:
        text = f"~{self._operand(_ATOM)}"
        if not self._deny:
            return self._made((), self._allow or (FlowFilter(),), text, _ATOM)
        if not self._allow:
            return self._made(self._deny, (), text, _ATOM)
        raise InvalidRequest(
            f"{self!r} both selects and leaves out, so one request cannot say its contrary; "
            "negate its parts"
        )

    def __repr__(self) -> str:
        return self._text

    def __str__(self) -> str:
        from palomar.filter_description import describe_filters  # noqa: PLC0415 - as the module says

        return describe_filters(self._allow, self._deny)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Filter) and self._allow == other._allow and self._deny == other._deny
        )

    __hash__ = None  # type: ignore[assignment]  # messages are mutable, so they have no hash either

    @classmethod
    def _made(cls, allow: Messages, deny: Messages, text: str, rank: int) -> Self:
        made = cls.__new__(cls)
        made._set(allow, deny, text, rank)  # noqa: SLF001 - it is one of this class
        return made

    def _set(self, allow: Messages, deny: Messages, text: str, rank: int) -> None:
        """Keep the lists in the shortest form that means the same, so that filters compare."""
        if _nothing(deny):
            allow, deny = (), (FlowFilter(),)
        elif FlowFilter() in allow:
            allow = ()
        self._allow, self._deny = _distinct(allow), _distinct(deny)
        self._text, self._rank = text, rank
        if len(self._allow) > MESSAGES_MAX or len(self._deny) > MESSAGES_MAX:
            raise InvalidRequest(
                f"the filter is too large: {len(self._allow) + len(self._deny)} messages, where "
                f"{MESSAGES_MAX} are allowed; use fewer values or fewer &"
            )

    def _operand(self, rank: int) -> str:
        """The text for use beside an operator that binds as tightly as `rank`."""
        return self._text if self._rank >= rank else f"({self._text})"


def _flags(keyword: str, given: object) -> Iterator[tuple[FilterKey, str, bool]]:
    """Turn one keyword into keys with texts, and whether they leave out."""
    negated = keyword.startswith("not_")
    name = keyword.removeprefix("not_").replace("_", "-")
    key = FILTER_KEYS.get(name)
    if key is None or keyword not in FilterKeywords.__annotations__:
        known = ", ".join(
            one for one in FilterKeywords.__annotations__ if not one.startswith("not_")
        )
        raise TypeError(f"{keyword!r} is no keyword of a filter; there are {known}, not_pod, …")
    if not key.metavar:
        meant = key if given else FILTER_KEYS.get(key.opposite)
        if meant is not None:
            yield meant, "", negated
        return
    values = [given] if isinstance(given, str | int) else list(cast("Iterable[object]", given))
    if not values:
        raise InvalidRequest(f"{keyword} has no values, which would match every flow")
    for value in values:
        yield key, str(value), negated


def _read_list(name: str, items: Iterable[FlowFilter | str]) -> Iterator[FlowFilter]:
    from palomar.filter_lists import parse_filters  # noqa: PLC0415 - as the module says

    for item in items:
        if isinstance(item, str):
            yield from parse_filters(name, [item])
        else:
            copy = FlowFilter()
            copy.CopyFrom(item)
            yield copy


def _product(ones: Sequence[FlowFilter], others: Sequence[FlowFilter]) -> Messages:
    """Each of one list and each of the other, where both can match."""
    from palomar.filter_algebra import conjunction  # noqa: PLC0415 - as the module says

    if len(ones) * len(others) > MESSAGES_MAX:
        raise InvalidRequest(
            f"& would make {len(ones) * len(others)} messages, where {MESSAGES_MAX} are allowed; "
            "use fewer values"
        )
    pairs = (conjunction(one, other) for one in ones for other in others)
    return tuple(both for both in pairs if both is not None)


def _nothing(deny: Messages) -> bool:
    """Whether nothing at all passes."""
    return FlowFilter() in deny


def _distinct(messages: Messages) -> Messages:
    kept: list[FlowFilter] = []
    for message in messages:
        if message not in kept:
            kept.append(message)
    return tuple(kept)
