"""flow.Endpoint messages: who was at an end of a flow, by the rules of Hubble's resolver.

A local endpoint shows its own labels. Of any other address the owner gives names, and the identity
the labels; the identity is what the datapath decided by, where the event says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_server.identities import cluster_of, shown_labels

if TYPE_CHECKING:
    from palomar_server.endpoints import Endpoint
    from palomar_server.identities import Identities
    from palomar_server.surroundings import Surroundings


def resolve_identity(surroundings: Surroundings, row: int, given: int) -> int:
    """The identity of an end: what the event gave, else what its address' owner has.

    Args:
        surroundings: where endpoints are looked up.
        row: of the endpoint table; 0 if nobody owns the address.
        given: by the event; 0 if it did not say.
    """
    return given or int(surroundings.endpoints.identities[row])


def labels_shown(endpoint: Endpoint, identity: int, identities: Identities) -> list[str]:
    """The labels of one end, sorted.

    Args:
        endpoint: who is there.
        identity: as of `resolve_identity`.
        identities: their labels.
    """
    return shown_labels(_labels(endpoint, identity, identities), identity)


def cluster_shown(endpoint: Endpoint, identity: int, identities: Identities) -> str:
    """The cluster of one end, empty if unknown; for the arguments see `labels_shown`."""
    return endpoint.cluster_name or cluster_of(_labels(endpoint, identity, identities))


def _labels(endpoint: Endpoint, identity: int, identities: Identities) -> tuple[str, ...]:
    labels = endpoint.labels
    if endpoint.id or (labels and endpoint.identity == identity):
        return labels
    # What nobody told of the identity, the owner of the address may know.
    return identities.labels(identity) or labels


def endpoint_message(surroundings: Surroundings, row: int, identity: int) -> flow_pb2.Endpoint:
    """Describe one end of a flow.

    Args:
        surroundings: what is known of endpoints and identities.
        row: of the endpoint table; 0 if nobody owns the address, or there is none.
        identity: as of `resolve_identity`.
    """
    endpoint, identities = surroundings.endpoints.endpoint(row), surroundings.identities
    message = flow_pb2.Endpoint(
        ID=endpoint.id,
        identity=identity,
        cluster_name=cluster_shown(endpoint, identity, identities),
        namespace=endpoint.namespace,
        pod_name=endpoint.pod_name,
        labels=labels_shown(endpoint, identity, identities),
    )
    for name, kind in endpoint.workloads:
        message.workloads.add(name=name, kind=kind)
    return message
