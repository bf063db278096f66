"""Which fields of a flow the human formats read, as paths of a field mask.

A server that is told sends nothing else: less to encode, to carry and to parse. JSON reads all.
"""

from palomar.printers.look import Look

HUBBLE_PATHS = (
    "time",
    "verdict",
    "ethernet",
    "IP",
    "l4",
    "source.identity",
    "source.namespace",
    "source.pod_name",
    "destination.identity",
    "destination.namespace",
    "destination.pod_name",
    "Type",
    "node_name",
    "l7",
    "event_type",
    "source_service",
    "destination_service",
    "is_reply",
    "Summary",
    "ip_trace_id",
)
"""What hubble 1.19 asks for, in its order, whatever the format.

It lacks fields that Hubble prints: with it DNS names, the match and direction of policy verdicts,
policy names, capture points and authentication do not show.
"""

_PRINTED_PATHS = (
    "time",
    "uuid",  # not printed: tells flows apart that arrive twice after a lost connection
    "verdict",
    "drop_reason_desc",
    "auth_type",
    "ethernet",
    "IP",
    "l4",
    "source.identity",
    "destination.identity",
    "node_name",
    "l7",
    "event_type",
    "traffic_direction",
    "policy_match_type",
    "is_reply",
    "debug_capture_point",
    "sock_xlate_point",
    "Summary",
    "ip_trace_id",
)
_NAME_PATHS = (
    "source.namespace",
    "source.pod_name",
    "destination.namespace",
    "destination.pod_name",
    "source_names",
    "destination_names",
    "source_service",
    "destination_service",
)
_POLICY_PATHS = (
    "egress_allowed_by",
    "ingress_allowed_by",
    "egress_denied_by",
    "ingress_denied_by",
)


def printed_paths(look: Look) -> list[str]:
    """List the fields that the columns of `FlowColumns` read.

    Args:
        look: The user's choices; names and policies are read only where they are shown.
    """
    if look.strict:
        return list(HUBBLE_PATHS)
    paths = list(_PRINTED_PATHS)
    if look.translate:
        paths += _NAME_PATHS
    if look.policy_names:
        paths += _POLICY_PATHS
    return paths
