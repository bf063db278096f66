"""HTTP requests whose responses have not come: for latency, and the trace context they share."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

_ID_CHARACTERS_MAX = 1024
"""Requests with a longer id, which no proxy makes, are not remembered."""
_LIFETIME_NS = 3_600_000_000_000
"""Longer than proxies let a request wait for its response."""


class Request(NamedTuple):
    """What is remembered of a request."""

    time_ns: int
    """Its own time, UTC."""
    trace_id: str
    """Of the trace that it belongs to; empty if it told none."""
    received_ns: int
    """When it was remembered, UTC."""


class RequestMemory:
    """Requests by the id that their responses have too.

    Args:
        requests_max: how many are remembered, perhaps none; beyond, the oldest makes room.
    """

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self._requests: OrderedDict[str, Request] = OrderedDict()

    def __len__(self) -> int:
        return len(self._requests)

    def remember(self, request_id: str, request: Request) -> None:
        """Note a request; one of the same id is replaced, but for a trace only it told."""
        if not self._requests_max or len(request_id) > _ID_CHARACTERS_MAX:
            return
        before = self._requests.pop(request_id, None)
        if before is not None and not request.trace_id:
            request = request._replace(trace_id=before.trace_id)
        self._requests[request_id] = request
        if len(self._requests) > self._requests_max:
            self._requests.popitem(last=False)
        oldest = next(iter(self._requests))
        # One a request is enough to keep up: no more go than come.
        if self._requests[oldest].received_ns < request.received_ns - _LIFETIME_NS:
            del self._requests[oldest]

    def take(self, request_id: str, now_ns: int) -> Request | None:
        """Forget a request, and tell what it was; None if it is not known, or too old."""
        request = self._requests.pop(request_id, None)
        if request is None or request.received_ns < now_ns - _LIFETIME_NS:
            return None
        return request
