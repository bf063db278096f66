"""Filters: keywords or flags in, flow.FlowFilter messages out.

A flow passes if it matches any message of the whitelist and none of the blacklist. Within a message
all fields must match; values of one field are alternatives. A flag for either end makes two
messages, one for the source and one for the destination; every other flag goes into both. This is
Hubble's command line, except that a pod without a namespace means any namespace, where there it
means `default`.

`Filter` is the library's; `split_flags` the command line's.
"""

from collections.abc import Iterable
from typing import Any, Final, Unpack, cast

from palomar.errors import InvalidRequest
from palomar.filter_flags import EXCLUSIVE_FLAGS, FILTER_KEYS, FilterKey, FilterKeywords, Side
from palomar_proto.flow.flow_pb2 import FlowFilter

NOT: Final = "not"
"""The flag that turns the filter flag after it into an exclusion."""


class Filter:
    """What flows to select, from keywords.

        Filter(pod="web", verdict="dropped")          # both must match
        Filter(port=[80, 443], from_namespace="shop")  # either port

    Args:
        **keywords: See `FilterKeywords`. None at all matches every flow.

    Raises:
        InvalidRequest: A value means nothing, or keywords exclude each other.
        TypeError: There is no such keyword.
    """

    def __init__(self, **keywords: Unpack[FilterKeywords]) -> None:
        self._keywords = keywords
        builder = _Builder()
        for keyword, given in keywords.items():
            key = _key(keyword)
            if not key.metavar:
                builder.add(key if given else _key(f"no_{keyword}"), "")
                continue
            values = (
                [given] if isinstance(given, str | int) else list(cast("Iterable[object]", given))
            )
            if not values:
                raise InvalidRequest(f"{keyword} has no values, which would match every flow")
            for value in values:
                builder.add(key, str(value))
        self._messages = builder.messages() or (FlowFilter(),)

    @property
    def messages(self) -> tuple[FlowFilter, ...]:
        """One or two messages, of which a flow must match one."""
        return self._messages

    def __repr__(self) -> str:
        return f"Filter({', '.join(f'{name}={value!r}' for name, value in self._keywords.items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self._messages == other._messages

    __hash__ = None  # type: ignore[assignment]  # messages are mutable, so they have no hash either


def split_flags(
    flags: Iterable[tuple[str, str]],
) -> tuple[tuple[FlowFilter, ...], tuple[FlowFilter, ...]]:
    """Turn filter flags, in the order they were given, into whitelist and blacklist.

    `not` moves the one filter flag after it to the blacklist. All flags there make one filter, so
    a flow is left out if it matches all of them, as in Hubble.

    Args:
        flags: Names without dashes, and values; the value of a flag without one is ignored.

    Raises:
        InvalidRequest: A value means nothing, flags exclude each other, or `not` stands before
            nothing or before itself.
    """
    allow, deny = _Builder(), _Builder()
    negated = False
    for name, value in flags:
        if name == NOT:
            if negated:
                raise InvalidRequest("--not stands twice before one filter; give it once")
            negated = True
            continue
        (deny if negated else allow).add(FILTER_KEYS[name], value)
        negated = False
    if negated:
        raise InvalidRequest("--not stands before no filter; put the filter to exclude after it")
    return allow.messages(), deny.messages()


def _key(keyword: str) -> FilterKey:
    try:
        return FILTER_KEYS[keyword.replace("_", "-")]
    except KeyError:
        known = ", ".join(FilterKeywords.__annotations__)
        raise TypeError(f"{keyword!r} is no keyword of a filter; there are {known}") from None


class _Builder:
    """Gathers flags of one list into at most two messages."""

    def __init__(self) -> None:
        self._names: list[str] = []
        # Message one: a flag for either end looks at the source; message two: at the destination.
        self._halves: tuple[dict[str, list[Any]], dict[str, list[Any]]] = ({}, {})

    def add(self, key: FilterKey, text: str) -> None:
        """Add one value of one flag."""
        self._names.append(key.name)
        for group in EXCLUSIVE_FLAGS:
            given = [name for name in group if name in self._names]
            if len(given) > 1:
                raise InvalidRequest(
                    f"--{given[0]} and --{given[1]} cannot be combined; keep one of them"
                )
        value = key.parse(text) if key.metavar else key.constant
        for half, own_side in zip(self._halves, (Side.SOURCE, Side.DESTINATION), strict=True):
            side = own_side if key.side is Side.EITHER else key.side
            field = f"{side.value}_{key.field}" if side.value else key.field
            half.setdefault(field, []).append(value)

    def messages(self) -> tuple[FlowFilter, ...]:
        """Build the messages; none if no flag was given."""
        if not self._names:
            return ()
        one, two = (FlowFilter(**_fold_namespaces(half)) for half in self._halves)
        return (one,) if one == two else (one, two)


def _fold_namespaces(fields: dict[str, list[Any]]) -> dict[str, Any]:
    """Write namespaces into the pod patterns of their side; FlowFilter has no field for them."""
    folded: dict[str, Any] = {
        name: value for name, value in fields.items() if not name.endswith("_namespace")
    }
    for side in (Side.SOURCE.value, Side.DESTINATION.value):
        pods = fields.get(f"{side}_pod", [])
        namespaces = fields.get(f"{side}_namespace", [])
        if namespaces or pods:
            folded[f"{side}_pod"] = _pod_patterns(pods, namespaces)
    return folded


def _pod_patterns(pods: list[str], namespaces: list[str]) -> list[str]:
    patterns: list[str] = []
    for pod in pods or [""]:
        own_namespace, slash, name = pod.rpartition("/")
        if not own_namespace:
            # The empty namespace before the slash stands for any.
            patterns += [f"{namespace}/{name}" for namespace in namespaces or [""]]
            continue
        for namespace in namespaces:
            if namespace != own_namespace:
                raise InvalidRequest(
                    f"pod {pod!r} is not in namespace {namespace!r}; leave one of them out"
                )
        patterns.append(own_namespace + slash + name)
    return patterns
