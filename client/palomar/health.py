"""The standard health check, grpc.health.v1.Health/Check, without its stubs.

In: a service name and the raw answer. Out: the raw question and a `Health`. Both messages have one
field, in the wire form of well-known types: HealthCheckRequest{string service = 1} that of
StringValue, HealthCheckResponse{ServingStatus status = 1} that of Int32Value. So the client needs
no further package for them. Called by both clients.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from enum import IntEnum
from typing import Final

from google.protobuf.wrappers_pb2 import Int32Value, StringValue

HEALTH_METHOD: Final = "/grpc.health.v1.Health/Check"

OBSERVER_SERVICE: Final = "hubble.server.Observer"
"""The name under which Hubble and palomard report the health of their observer."""


class Health(IntEnum):
    """ServingStatus of grpc.health.v1; a number it lacks counts as unknown."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3

    @classmethod
    def _missing_(cls, value: object) -> "Health":
        del value
        return cls.UNKNOWN


def encode_health_request() -> bytes:
    """Ask for the health of the observer."""
    return StringValue(value=OBSERVER_SERVICE).SerializeToString()


def decode_health_response(data: bytes) -> Health:
    """Read the answer.

    Raises:
        google.protobuf.message.DecodeError: These bytes are no HealthCheckResponse.
    """
    return Health(Int32Value.FromString(data).value)
