import pytest
from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from palomar.health import Health, decode_health_response, encode_health_request


def test_request_is_the_standard_message() -> None:
    assert (
        HealthCheckRequest.FromString(encode_health_request()).service == "hubble.server.Observer"
    )


@pytest.mark.parametrize("health", list(Health))
def test_every_status_is_read(health: Health) -> None:
    answer = HealthCheckResponse(status=health.value)
    assert decode_health_response(answer.SerializeToString()) is health
    assert HealthCheckResponse.ServingStatus.Name(health.value) == health.name


def test_new_status_counts_as_unknown() -> None:
    assert decode_health_response(b"\x08\x09") is Health.UNKNOWN


def test_other_bytes_are_refused() -> None:
    with pytest.raises(DecodeError):
        decode_health_response(b"\xff")
