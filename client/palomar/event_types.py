"""Names of monitor message types and their subtypes, as `--type` takes them.

In: `TYPE[:SUBTYPE]`. Out: the fields of a flow.EventTypeFilter. The numbers are those of Cilium's
monitor messages, which a flow carries as event_type; the printers know the same numbers.
"""

from palomar.errors import InvalidRequest

DROP = 1
DEBUG = 2
CAPTURE = 3
TRACE = 4
POLICY_VERDICT = 5
TRACE_SOCK = 7
L7 = 129
AGENT = 130

EVENT_TYPES = {
    "drop": DROP,
    "debug": DEBUG,
    "capture": CAPTURE,
    "trace": TRACE,
    "policy-verdict": POLICY_VERDICT,
    "trace-sock": TRACE_SOCK,
    "l7": L7,
    "agent": AGENT,
}

OBSERVATION_POINTS = (
    "to-endpoint",
    "to-proxy",
    "to-host",
    "to-stack",
    "to-overlay",
    "from-endpoint",
    "from-proxy",
    "from-host",
    "from-stack",
    "from-overlay",
    "from-network",
    "to-network",
    "from-crypto",
    "to-crypto",
)
"""Where a trace message was made; the index is its subtype."""

AGENT_EVENTS = (
    "unspecified",
    "message",
    "agent-started",
    "policy-updated",
    "policy-deleted",
    "endpoint-regenerate-success",
    "endpoint-regenerate-failure",
    "endpoint-created",
    "endpoint-deleted",
    "ipcache-upserted",
    "ipcache-deleted",
)
"""What an agent notification is about; the index is its subtype."""

_SUBTYPES = {"trace": OBSERVATION_POINTS, "agent": AGENT_EVENTS}

_OTHER_NAMES = {"drops": "drop", "dropped": "drop", "policy": "policy-verdict", "traces": "trace"}

_TYPE_MAX = 2**31 - 1  # event_type is an int32 on the wire


def event_type_filter(text: str) -> dict[str, int | bool]:
    """Read `TYPE[:SUBTYPE]`, each a name in any case or a number; or the subtype of a trace alone.

    Returns:
        Fields of a flow.EventTypeFilter.

    Raises:
        InvalidRequest: The type or its subtype is unknown.
    """
    type_name, colon, subtype_name = text.strip().lower().replace("_", "-").partition(":")
    type_name = _OTHER_NAMES.get(type_name, type_name)
    if type_name in OBSERVATION_POINTS and not colon:
        # A point by itself can only be meant as the subtype of a trace.
        type_name, colon, subtype_name = "trace", ":", type_name
    number = EVENT_TYPES.get(type_name, _number(type_name))
    if number is None:
        raise InvalidRequest(
            f"type {text!r} is unknown; it is one of {', '.join(EVENT_TYPES)}, or a number"
        )
    if not colon:
        return {"type": number}
    names = _SUBTYPES.get(type_name, ())
    subtype = names.index(subtype_name) if subtype_name in names else _number(subtype_name)
    if subtype is None:
        known = f"one of {', '.join(names)}, or a number" if names else "a number"
        raise InvalidRequest(f"type {text!r} has an unknown subtype; for {type_name} it is {known}")
    return {"type": number, "match_sub_type": True, "sub_type": subtype}


def _number(text: str) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= len(str(_TYPE_MAX)):
        number = int(text)
        return number if number <= _TYPE_MAX else None
    return None
