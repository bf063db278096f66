"""Gathers filter flags of one list into flow.FlowFilter messages.

Within a message all fields must match; values of one field are alternatives. A flag for either end
makes two messages, one for the source and one for the destination; every other flag goes into both.
Namespaces have no field: they are written into the patterns of pods and services. In: keys of
`filter_flags` with their texts. Out: at most two messages. Used by `filters`.
"""

from typing import Any

from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.filter_flags import EXCLUSIVE_FLAGS, HUBBLE_EXCLUSIVE_FLAGS, FilterKey, Side
from palomar.go_syntax import quote
from palomar_proto.flow.flow_pb2 import FlowFilter

_NAMESPACE = "namespace"
_CEL = "cel_expression"
_ENDS = (Side.SOURCE, Side.DESTINATION)

_Fields = dict[str, list[Any]]

Messages = tuple[FlowFilter, ...]


class FilterBuilder:
    """Takes one flag after the other; `messages` tells what they make.

    Args:
        dialect: Whose reading of values. In that of `hubble`, a pod without a namespace stays
            without one, which servers take as `default`; else it means any.
    """

    def __init__(self, dialect: Dialect = Dialect.PALOMAR) -> None:
        self._strict = dialect is Dialect.HUBBLE
        self._names: set[str] = set()
        # One: a flag for either end looks at the source; the other: at the destination.
        self._halves: tuple[_Fields, _Fields] = ({}, {})
        self._namespaces: dict[Side, list[str]] = {side: [] for side in Side}

    def add(self, key: FilterKey, text: str) -> None:
        """Add one value of one flag; of a flag without one, the text is ignored.

        Raises:
            InvalidRequest: The value means nothing, or contradicts what came before.
        """
        self._names.add(key.name)
        self._refuse_exclusive()
        value = _read(key, text, exact=self._strict)
        if key.field == _NAMESPACE:
            self._namespaces[key.side].append(str(value))
        else:
            for half, own_side in zip(self._halves, _ENDS, strict=True):
                side = own_side if key.side is Side.EITHER else key.side
                half.setdefault(_field(side, key.field), []).append(value)
        for half in self._halves if self._strict else ():
            if wrong := self._conflicts(half):
                raise InvalidRequest("\n".join(wrong))

    def messages(self) -> Messages:
        """Build the messages; none if no flag was given.

        Raises:
            InvalidRequest: A pod or service is not in the namespace that is asked for.
        """
        if not self._names:
            return ()
        one, two = (
            FlowFilter(**self._folded(half, own_side))
            for half, own_side in zip(self._halves, _ENDS, strict=True)
        )
        return (one,) if one == two else (one, two)

    def _refuse_exclusive(self) -> None:
        for group in HUBBLE_EXCLUSIVE_FLAGS if self._strict else EXCLUSIVE_FLAGS:
            given = [name for name in group if name in self._names]
            if len(given) > 1 and self._strict:
                raise InvalidRequest(f"filters --{given[0]} and --{given[1]} cannot be combined")
            if len(given) > 1:
                raise InvalidRequest(
                    f"--{given[0]} and --{given[1]} cannot be combined; keep one of them"
                )

    def _folded(self, half: _Fields, own_side: Side) -> dict[str, Any]:
        """Write namespaces into the patterns of their side, and expressions where they belong."""
        folded: dict[str, Any] = {name: value for name, value in half.items() if name != _CEL}
        if _CEL in half:
            folded["experimental"] = {_CEL: half[_CEL]}
        for side in _ENDS:
            namespaces = list(self._namespaces[side])
            if side is own_side:
                namespaces += self._namespaces[Side.EITHER]
            kinds = [kind for kind in ("pod", "service") if _field(side, kind) in half]
            if namespaces and not kinds:
                folded[_field(side, "pod")] = [f"{namespace}/" for namespace in namespaces]
            for kind in kinds:
                field = _field(side, kind)
                folded[field] = [
                    pattern
                    for name in half[field]
                    for pattern in self._patterns(kind, name, namespaces)
                ]
        return folded

    def _patterns(self, kind: str, name: str, namespaces: list[str]) -> list[str]:
        own_namespace, slash, _ = name.partition("/")
        if self._strict:
            return [name] if slash else [f"{space}/{name}" for space in namespaces] or [name]
        if not slash:
            # The empty namespace before the slash stands for any.
            return [f"{namespace}/{name}" for namespace in namespaces or [""]]
        if own_namespace and namespaces and not {own_namespace, ""} & {*namespaces}:
            raise InvalidRequest(
                f"{kind} {name!r} is not in namespace {' or '.join(map(repr, namespaces))}; "
                "leave one of them out"
            )
        if not own_namespace:
            return [f"{namespace}{name}" for namespace in namespaces or [""]]
        return [name]

    def _conflicts(self, half: _Fields) -> list[str]:
        """List the contradictions that the `hubble` command refuses, in its order."""
        names = {
            (side, kind): half.get(_field(side, kind), [])
            for side in _ENDS
            for kind in ("pod", "service")
        }
        wrong = [
            f"{quote(name)} is not in namespace {quote(namespace)}"
            for where in (Side.EITHER, *_ENDS)
            for (side, _), patterns in names.items()
            if where in {Side.EITHER, side}
            for namespace, name in _first_strangers(self._namespaces[where], patterns)
        ]
        for side in _ENDS:
            wrong += _inconsistent(names[side, "pod"], names[side, "service"])
        return wrong


class Exclusions:
    """Gathers flags of which each leaves out by itself, values of one being alternatives."""

    def __init__(self) -> None:
        self._builders: dict[str, FilterBuilder] = {}

    def add(self, key: FilterKey, text: str) -> None:
        """Add one value of one flag.

        Raises:
            InvalidRequest: The value means nothing.
        """
        self._builders.setdefault(key.name, FilterBuilder()).add(key, text)

    def messages(self) -> Messages:
        """Build the messages, of which a flow that is to pass must match none."""
        return tuple(one for builder in self._builders.values() for one in builder.messages())


def _read(key: FilterKey, text: str, *, exact: bool) -> object:
    if not key.metavar:
        return key.constant
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{key.name} {text!r} is not UTF-8") from error
    return key.exact(text) if exact else key.parse(text)


def _field(side: Side, name: str) -> str:
    return f"{side.value}_{name}" if side.value else name


def _first_strangers(namespaces: list[str], names: list[str]) -> list[tuple[str, str]]:
    """The first pair of a namespace and a name that says another; as a list of one or none."""
    for namespace in namespaces:
        for name in names:
            own_namespace, slash, _ = name.partition("/")
            if slash and own_namespace and own_namespace != namespace:
                return [(namespace, name)]
    return []


def _inconsistent(pods: list[str], services: list[str]) -> list[str]:
    for pod in pods:
        namespace, slash, _ = pod.partition("/")
        for service in services if slash and namespace else ():
            service_namespace, service_slash, _ = service.partition("/")
            if (service_namespace if service_slash else "") != namespace:
                return [
                    f"service {quote(service)} is not in the pod's namespace {quote(namespace)}"
                ]
    return []
