"""What `palomar observe` is about to ask, for people: with `-v` in words, with `-D` as it is sent.

In: a request, in which short forms and defaults are filled in. Out: lines for standard error.
"""

from datetime import UTC, datetime
from typing import TypeAlias

from palomar.go_syntax import quote
from palomar.printers.escape import visible
from palomar.protojson import to_json
from palomar.quantities import time_text
from palomar.requests import NUMBER_MAX
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetDebugEventsRequest,
    GetFlowsRequest,
)

Request: TypeAlias = GetFlowsRequest | GetAgentEventsRequest | GetDebugEventsRequest

_THINGS = {
    "GetFlowsRequest": "flows",
    "GetAgentEventsRequest": "agent events",
    "GetDebugEventsRequest": "debug events",
}


def debug_echo(request: Request, server: str, *, strict: bool) -> str:
    """Write the request as it is sent.

    Args:
        request: What is asked.
        server: Who is asked.
        strict: Whether to write it as a line of Hubble's log.
    """
    if not strict:
        return f"asking {visible(server)}: {visible(to_json(request))}\n"
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    method = type(request).__name__.removesuffix("Request")
    return (
        f'time={now} level=DEBUG msg="Sending {method} request" req={quote(to_json(request))} '
        f"server={quote(server)}\n"
    )


def verbose_echo(request: Request, server: str) -> str:
    """Say in one line which of what is asked for, and in a second one which filter is in force."""
    things = _THINGS[type(request).__name__]
    if request.number == NUMBER_MAX:
        which = f"all {things}"
    elif request.number:
        number = things[:-1] if request.number == 1 else f"{request.number:,} {things}"
        which = f"the {'first' if request.first else 'last'} {number}"
    else:
        which = f"new {things}" if request.follow and not request.HasField("since") else things
    if request.HasField("since"):
        which += f" since {time_text(request.since, precise=True)}"
    if request.HasField("until"):
        which += f" until {time_text(request.until, precise=True)}"
    if request.follow and not which.startswith("new"):
        which += " and new ones"
    text = f"palomar: asking {visible(server)} for {which}\n"
    if isinstance(request, GetFlowsRequest):
        from palomar.filter_description import describe_filters  # noqa: PLC0415 - only of flows

        filters = describe_filters(request.whitelist, request.blacklist)
        text += f"palomar: filter: {visible(filters)}\n"
    return text
