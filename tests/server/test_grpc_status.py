from __future__ import annotations

from urllib.parse import unquote

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.errors import (
    Exhausted,
    HookFailed,
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfRange,
    Refused,
    RequestError,
    Stopping,
    TooLate,
    Unsupported,
)
from palomar_server.grpc_status import Status, status_headers, status_of

ERRORS: dict[RequestError, grpc.StatusCode] = {
    InvalidRequest("number", -1, "is negative"): grpc.StatusCode.INVALID_ARGUMENT,
    OutOfRange("gone"): grpc.StatusCode.OUT_OF_RANGE,
    NotFound("none"): grpc.StatusCode.NOT_FOUND,
    NotReady("under way"): grpc.StatusCode.FAILED_PRECONDITION,
    Unsupported("no"): grpc.StatusCode.UNIMPLEMENTED,
    Refused("not you"): grpc.StatusCode.PERMISSION_DENIED,
    TooLate("over"): grpc.StatusCode.DEADLINE_EXCEEDED,
    Exhausted("full"): grpc.StatusCode.RESOURCE_EXHAUSTED,
    Stopping(): grpc.StatusCode.UNAVAILABLE,
    HookFailed("broken"): grpc.StatusCode.INTERNAL,
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_has_its_status(error: RequestError) -> None:
    assert status_of(error) == ERRORS[error].value[0]


def test_no_error_is_without_status() -> None:
    assert {type(error) for error in ERRORS} == set(RequestError.__subclasses__())


def test_a_derived_error_has_the_status_of_its_base() -> None:
    class Full(Exhausted):
        pass

    assert status_of(Full()) is Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("status", Status)
def test_codes_are_those_of_grpc(status: Status) -> None:
    assert getattr(grpc.StatusCode, status.name).value[0] == status


def test_an_answer_that_is_good_has_no_text() -> None:
    assert status_headers(Status.OK, "") == [(b"grpc-status", b"0")]


@given(st.text() | st.text(" %a"))
def test_any_text_makes_a_header_and_comes_back(text: str) -> None:
    headers = dict(status_headers(Status.INTERNAL, text))
    quoted = headers.get(b"grpc-message", b"")
    assert all(0x20 <= byte < 0x7F for byte in quoted)
    assert quoted == quoted.strip()
    assert unquote(quoted.decode()) == text.encode(errors="replace").decode()


def test_a_long_text_is_cut_between_characters() -> None:
    [_, (_, quoted)] = status_headers(Status.INTERNAL, "ä" * 5000)
    assert unquote(quoted.decode()) == "ä" * 1024
