import math
from collections.abc import Callable

import grpc
import pytest

from palomar import errors
from palomar.errors import InvalidRequest
from palomar.rpc import call_timeout_s, channel_options, translated
from palomar.target import parse_target

TARGET = parse_target("h:1")


class FailedCall(grpc.RpcError):
    """What gRPC raises: an error that is a call as well."""

    def __init__(self, code: grpc.StatusCode, details: str | None = None) -> None:
        super().__init__()
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_every_status_becomes_one_of_our_errors(code: grpc.StatusCode) -> None:
    with pytest.raises(errors.PalomarError) as caught, translated(TARGET):
        raise FailedCall(code)
    assert isinstance(caught.value.__cause__, FailedCall)


def test_failed_connection_is_told_from_an_unavailable_server() -> None:
    no_connection = "failed to connect to all addresses; last error: UNKNOWN: ipv4:x: refused"
    with (
        pytest.raises(errors.ServerUnavailable, match="cannot reach h:1: refused"),
        translated(TARGET),
    ):
        raise FailedCall(grpc.StatusCode.UNAVAILABLE, no_connection)
    with (
        pytest.raises(errors.ServerUnavailable, match="h:1 is unavailable: no peers"),
        translated(TARGET),
    ):
        raise FailedCall(grpc.StatusCode.UNAVAILABLE, "no peers")


def test_cancelled_call_ends_a_stream_only() -> None:
    with translated(TARGET, cancelled_ends=True):
        raise FailedCall(grpc.StatusCode.CANCELLED)
    with pytest.raises(errors.ServerError), translated(TARGET):
        raise FailedCall(grpc.StatusCode.CANCELLED)


def test_advice_stands_behind_what_a_server_lacks() -> None:
    with (
        pytest.raises(errors.Unsupported, match="no: x; ask b"),
        translated(TARGET, instead="ask b"),
    ):
        raise FailedCall(grpc.StatusCode.UNIMPLEMENTED, "no: x")
    for code, instead in ((grpc.StatusCode.UNIMPLEMENTED, ""), (grpc.StatusCode.UNKNOWN, "ask b")):
        with (
            pytest.raises(FailedCall),
            translated(TARGET, instead=instead, only_unsupported=True),
        ):
            raise FailedCall(code)


def test_errors_keep_what_the_server_said() -> None:
    with pytest.raises(errors.ServerUnavailable) as caught, translated(TARGET):
        raise FailedCall(grpc.StatusCode.UNAVAILABLE, "a\nb")
    assert (caught.value.status, caught.value.details) == ("UNAVAILABLE", "a\nb")


def test_connection_closed_at_once_may_want_tls() -> None:
    text = "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:x: Socket closed"
    with pytest.raises(errors.ServerUnavailable, match="wants TLS") as caught, translated(TARGET):
        raise FailedCall(grpc.StatusCode.UNAVAILABLE, text)
    assert caught.value.details == text
    with pytest.raises(errors.ServerUnavailable, match="is unavailable"), translated(TARGET):
        raise FailedCall(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), translated(TARGET):
        raise KeyError


def test_connect_timeout_is_set_in_milliseconds() -> None:
    assert dict(channel_options(1.5))["grpc.min_reconnect_backoff_ms"] == 1500
    assert dict(channel_options(0))["grpc.min_reconnect_backoff_ms"] == 1


def test_times_without_end_are_for_ever() -> None:
    assert call_timeout_s(math.inf) is None
    assert call_timeout_s(2.5) == 2.5
    assert dict(channel_options(math.inf))["grpc.min_reconnect_backoff_ms"] == 2**31 - 1


@pytest.mark.parametrize("read", [channel_options, call_timeout_s])
def test_what_is_no_time_is_refused(read: Callable[[float], object]) -> None:
    with pytest.raises(InvalidRequest, match="nan"):
        read(math.nan)
