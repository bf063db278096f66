"""The table of filters: each flag and keyword, and the field of flow.FlowFilter that it fills.

`FILTER_KEYS` maps flag names to what they mean. The command line makes its options from it, the
library its keywords (the same names with `_` for `-`), and `filters` the messages. To add a filter,
add a row to `_ROWS`, its keyword to `FilterKeywords` and, where flags exclude each other, a group
to `_EXCLUSIVE`. Free of protobuf, like `filter_values`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict

from palomar import filter_values as values
from palomar.event_types import event_type_filter


class Side(Enum):
    """Which end of a flow a filter looks at."""

    NONE = ""
    """Neither: it is about the flow as a whole."""
    SOURCE = "source"
    DESTINATION = "destination"
    EITHER = "either"
    """One filter for the source and one for the destination, of which one must match."""


@dataclass(frozen=True, slots=True)
class FilterKey:
    """One filter flag.

    Attributes:
        name: The flag without its dashes.
        field: Field of flow.FlowFilter; on a sided filter without `source_` or `destination_`.
        side: Which end it looks at.
        parse: Reads the flag's text; raises InvalidRequest.
        metavar: What stands for the value in the help; empty for a flag without one.
        help: One line.
        short: One-letter form, if any.
        constant: The value of a flag without one.
    """

    name: str
    field: str
    side: Side
    parse: Callable[[str], object]
    metavar: str
    help: str
    short: str = ""
    constant: object = None


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    field: str
    parse: Callable[[str], object]
    metavar: str
    help: str
    sided: bool = False
    short: str = ""
    constant: object = None


_ROWS = (
    _Row("pod", "pod", values.pod, "[NS/]NAME", "pods by beginning of name", sided=True),
    _Row("namespace", "namespace", values.namespace, "NS", "pods of a namespace", sided=True,
         short="n"),
    _Row("ip", "ip", values.ip, "IP|CIDR", "an address or prefix", sided=True),
    _Row("port", "port", values.port, "PORT", "a port", sided=True),
    _Row("protocol", "protocol", values.protocol, "NAME", "Protocol: tcp, udp, icmp, dns, ..."),
    _Row("verdict", "verdict", values.verdict, "VERDICT",
         "Verdict: forwarded, dropped, redirected, error, audit, traced, translated."),
    _Row("type", "event_type", event_type_filter, "TYPE[:SUB]",
         "Event type: drop, trace[:to-stack, ...], policy-verdict, l7, capture, trace-sock.",
         short="t"),
    _Row("traffic-direction", "traffic_direction", values.direction, "DIRECTION",
         "Direction: ingress or egress."),
    _Row("reply", "reply", bool, "", "Only replies.", constant=True),
    _Row("no-reply", "reply", bool, "", "Only what is known not to be a reply.", constant=False),
)  # fmt: skip

# Flags of one group cannot be combined; `{}` is `from` or `to`. What a flag for either end and
# its variant for one end mean together, nobody could tell.
_EXCLUSIVE = (
    ("{}-ip", "ip", "{}-namespace", "namespace"),
    ("{}-ip", "ip", "{}-pod", "pod"),
    ("{}-pod", "namespace"),
    ("port", "{}-port"),
)


class FilterKeywords(TypedDict, total=False):
    """Keywords of `Filter`, `Client.observe` and `AsyncClient.observe`.

    Several values of one keyword are alternatives; several keywords must all match. A keyword
    without `from_` or `to_` matches on either end.
    """

    pod: str | Iterable[str]
    """`NAME` for pods of any namespace whose name begins so, `NS/NAME` for those of one
    namespace, `NS/` for all pods of it."""
    from_pod: str | Iterable[str]
    to_pod: str | Iterable[str]
    namespace: str | Iterable[str]
    """Alone, all pods of the namespace; otherwise where `pod` without one is looked for."""
    from_namespace: str | Iterable[str]
    to_namespace: str | Iterable[str]
    ip: str | Iterable[str]
    """An address or a CIDR prefix."""
    from_ip: str | Iterable[str]
    to_ip: str | Iterable[str]
    port: int | str | Iterable[int | str]
    """A TCP, UDP or SCTP port."""
    from_port: int | str | Iterable[int | str]
    to_port: int | str | Iterable[int | str]
    protocol: str | Iterable[str]
    """Of layer 4 or 7: `tcp`, `udp`, `icmp`, `dns`, …"""
    verdict: str | Iterable[str]
    """`forwarded`, `dropped`, …; any case, short forms such as `drop` as well."""
    type: str | Iterable[str]
    """`drop`, `trace`, `trace:to-stack`, `l7`, … or numbers."""
    traffic_direction: str | Iterable[str]
    """`ingress` or `egress`, as the endpoint where the packet was seen has it."""
    reply: bool
    """Whether the packet goes against the direction its connection was opened in."""


def _keys() -> Iterable[FilterKey]:
    for row in _ROWS:
        if not row.sided:
            yield FilterKey(
                row.name, row.field, Side.NONE, row.parse, row.metavar, row.help, row.short,
                row.constant,
            )  # fmt: skip
            continue
        for prefix, side, end in (
            ("", Side.EITHER, "Source or destination"),
            ("from-", Side.SOURCE, "Source"),
            ("to-", Side.DESTINATION, "Destination"),
        ):
            yield FilterKey(
                prefix + row.name, row.field, side, row.parse, row.metavar,
                f"{end}: {row.help}.", "" if prefix else row.short,
            )  # fmt: skip


FILTER_KEYS = {key.name: key for key in _keys()}
"""Every filter flag by name, in the order of the help."""

EXCLUSIVE_FLAGS = tuple(
    tuple(name.format(end) for name in group) for group in _EXCLUSIVE for end in ("from", "to")
)
"""Groups of flags of which only one may be given."""
