from __future__ import annotations

import grpc
import pytest

from palomar_server.errors import (
    Exhausted,
    InvalidRequest,
    RequestError,
    Stopping,
    Unsupported,
)
from palomar_server.grpc_server import status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("number", -1, "is negative"), grpc.StatusCode.INVALID_ARGUMENT),
        (Unsupported("no"), grpc.StatusCode.UNIMPLEMENTED),
        (Exhausted("full"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (Stopping(), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_every_error_has_its_status(error: RequestError, status: grpc.StatusCode) -> None:
    assert status_of(error) is status


def test_no_error_is_without_status() -> None:
    errors = (InvalidRequest("", 0, ""), Unsupported(), Exhausted(), Stopping())
    assert {type(error) for error in errors} == set(RequestError.__subclasses__())


def test_an_invalid_value_is_named_with_its_field_and_the_rule() -> None:
    error = InvalidRequest("source_port", "x", "is no port")
    assert str(error) == "source_port: 'x' is no port"


def test_a_long_value_is_shortened() -> None:
    assert len(str(InvalidRequest("source_port", "9" * 100_000, "is no port"))) < 100
