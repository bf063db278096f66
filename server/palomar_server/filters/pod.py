"""FlowFilter.source_pod and destination_pod: `[namespace/]name-prefix`.

Without a slash the namespace is `default`; `ns/` is all of a namespace; `/prefix` is any namespace.
Names match by prefix, namespaces exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.errors import InvalidRequest
from palomar_server.filters.predicate import EndpointPredicate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_proto.flow import flow_pb2
    from palomar_server.endpoints import Endpoint
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings

DEFAULT_NAMESPACE = "default"
_ANY_NAMESPACE = ""


def _parse(field: str, value: str) -> tuple[str, str]:
    """(namespace, name prefix); an empty namespace is any."""
    if not value:
        raise InvalidRequest(field, value, "is empty; write [namespace/]name-prefix")
    if "/" not in value:
        return DEFAULT_NAMESPACE, value
    # What follows a second slash is left alone, as Hubble does.
    namespace, name = value.split("/")[:2]
    return namespace, name


def _compile(side: str, values: Sequence[str], surroundings: Surroundings) -> Predicate:
    prefixes: dict[str, tuple[str, ...]] = {}
    for value in values:
        namespace, prefix = _parse(f"{side}_pod", value)
        prefixes[namespace] = (*prefixes.get(namespace, ()), prefix)
    anywhere = prefixes.get(_ANY_NAMESPACE, ())

    def matches(endpoint: Endpoint) -> bool:
        if not endpoint.namespace and not endpoint.pod_name:
            return False
        # One call for all prefixes: this is asked of every endpoint.
        here = prefixes.get(endpoint.namespace, ())
        return endpoint.pod_name.startswith(anywhere + here)

    return EndpointPredicate(f"{side}_endpoint", surroundings.endpoints, matches)


def compile_source_pod(flow_filter: flow_pb2.FlowFilter, surroundings: Surroundings) -> Predicate:
    """Flows from one of the pods."""
    return _compile("source", flow_filter.source_pod, surroundings)


def compile_destination_pod(
    flow_filter: flow_pb2.FlowFilter, surroundings: Surroundings
) -> Predicate:
    """Flows to one of the pods."""
    return _compile("destination", flow_filter.destination_pod, surroundings)
