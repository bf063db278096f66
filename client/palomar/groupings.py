"""Names of what flows are told apart by, as users write them; the messages of a query out.

    pod            of both ends
    from-pod       of the source; source-pod and source.pod are the same
    to-label:app   the value of the label app of the destination
    drop-reason    of the flow itself

Dashes, underscores and case do not matter. The names are those of palomar.v1.FlowField. Called by
`queries`.
"""

from typing import Final

from palomar.errors import InvalidRequest
from palomar_proto.palomar.v1.flow_field_pb2 import (
    FLOW_END_DESTINATION,
    FLOW_END_SOURCE,
    FLOW_END_UNSPECIFIED,
    FLOW_FIELD_LABEL,
    FLOW_FIELD_POD,
    FLOW_FIELD_SERVICE,
    FlowEnd,
    FlowField,
)
from palomar_proto.palomar.v1.summary_pb2 import Grouping

_PREFIX: Final = "FLOW_FIELD_"

_ENDS: Final[dict[str, FlowEnd.ValueType]] = {
    "from": FLOW_END_SOURCE,
    "source": FLOW_END_SOURCE,
    "to": FLOW_END_DESTINATION,
    "destination": FLOW_END_DESTINATION,
}


def field_names() -> list[str]:
    """All names of fields, as this module writes them."""
    names = (name.removeprefix(_PREFIX) for name in FlowField.keys()[1:])
    return [_plain(name) for name in names]


def parse_field(text: str) -> FlowField.ValueType:
    """Read the name of a field, such as `pod` or `drop-reason`.

    Raises:
        InvalidRequest: There is no such field.
    """
    name = _PREFIX + _plain(text).replace("-", "_").upper()
    if name in FlowField.keys()[1:]:
        return FlowField.Value(name)
    raise InvalidRequest(f"there is no field {text!r}; there are {', '.join(field_names())}")


def parse_grouping(text: str) -> list[Grouping]:
    """Read what to group by: a field, with its end in front and the key of a label behind.

    Returns:
        One grouping; of a field of an end without its end two, for the source and the destination.

    Raises:
        InvalidRequest: There is no such field, a label has no key, or a flow's own field an end.
    """
    name, _, label_key = text.partition(":")
    end_name, _, rest = _plain(name).partition("-")
    end = _ENDS.get(end_name, FLOW_END_UNSPECIFIED) if rest else FLOW_END_UNSPECIFIED
    field = parse_field(rest if end else name)
    of_an_end = FLOW_FIELD_POD <= field <= FLOW_FIELD_SERVICE
    if end and not of_an_end:
        raise InvalidRequest(f"{rest!r} belongs to no end of a flow; leave out {end_name!r}")
    if (field == FLOW_FIELD_LABEL) is not bool(label_key):
        raise InvalidRequest(
            f"cannot group by {text!r}: a label needs its key and nothing else has one; "
            "write it like to-label:app"
        )
    if end or not of_an_end:
        return [Grouping(field=field, end=end, label_key=label_key)]
    return [
        Grouping(field=field, end=each, label_key=label_key)
        for each in (FLOW_END_SOURCE, FLOW_END_DESTINATION)
    ]


def grouping_name(grouping: Grouping) -> str:
    """Write a grouping as `parse_grouping` reads it."""
    end = {FLOW_END_SOURCE: "from-", FLOW_END_DESTINATION: "to-"}.get(grouping.end, "")
    names = dict(zip(FlowField.values(), FlowField.keys(), strict=True))
    field = names.get(grouping.field, f"{_PREFIX}{grouping.field}")
    key = f":{grouping.label_key}" if grouping.label_key else ""
    return f"{end}{_plain(field.removeprefix(_PREFIX))}{key}"


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")
