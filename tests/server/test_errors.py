from __future__ import annotations

import grpc
import pytest

from palomar_server.errors import Exhausted, InvalidRequest, RequestError, Unsupported, status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("number", -1, "is negative"), grpc.StatusCode.INVALID_ARGUMENT),
        (Unsupported("no"), grpc.StatusCode.UNIMPLEMENTED),
        (Exhausted("full"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_every_error_has_its_status(error: RequestError, status: grpc.StatusCode) -> None:
    assert status_of(error) is status


def test_no_error_is_without_status() -> None:
    assert {type(error) for error in (InvalidRequest("", 0, ""), Unsupported(), Exhausted())} == (
        set(RequestError.__subclasses__())
    )


def test_an_invalid_value_is_named_with_its_field_and_the_rule() -> None:
    error = InvalidRequest("source_port", "x", "is no port")
    assert str(error) == "source_port: 'x' is no port"
