"""flow.Endpoint messages: who was at an end of a flow, by the rules of Hubble's resolver.

A local endpoint shows its own labels. Of any other address the owner gives names, and the identity
the labels; the identity is what the datapath decided by, where the event says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_server.identities import cluster_of, shown_labels

if TYPE_CHECKING:
    from palomar_server.surroundings import Surroundings


def resolve_identity(surroundings: Surroundings, row: int, given: int) -> int:
    """The identity of an end: what the event gave, else what its address' owner has.

    Args:
        surroundings: where endpoints are looked up.
        row: of the endpoint table; 0 if nobody owns the address.
        given: by the event; 0 if it did not say.
    """
    return given or int(surroundings.endpoints.identities[row])


def endpoint_message(surroundings: Surroundings, row: int, identity: int) -> flow_pb2.Endpoint:
    """Describe one end of a flow.

    Args:
        surroundings: what is known of endpoints and identities.
        row: of the endpoint table; 0 if nobody owns the address, or there is none.
        identity: as of `resolve_identity`.
    """
    endpoint = surroundings.endpoints.endpoint(row)
    labels = endpoint.labels
    if not endpoint.id and not (labels and endpoint.identity == identity):
        # What nobody told of the identity, the owner of the address may know.
        labels = surroundings.identities.labels(identity) or labels
    message = flow_pb2.Endpoint(
        ID=endpoint.id,
        identity=identity,
        cluster_name=endpoint.cluster_name or cluster_of(labels),
        namespace=endpoint.namespace,
        pod_name=endpoint.pod_name,
        labels=shown_labels(labels, identity),
    )
    for name, kind in endpoint.workloads:
        message.workloads.add(name=name, kind=kind)
    return message
