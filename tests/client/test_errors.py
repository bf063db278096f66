import pytest

from palomar import errors


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNAVAILABLE", errors.ServerUnavailable),
        ("DEADLINE_EXCEEDED", errors.ServerUnavailable),
        ("INVALID_ARGUMENT", errors.InvalidRequest),
        ("OUT_OF_RANGE", errors.InvalidRequest),
        ("FAILED_PRECONDITION", errors.InvalidRequest),
        ("NOT_FOUND", errors.InvalidRequest),
        ("UNIMPLEMENTED", errors.Unsupported),
        ("UNKNOWN", errors.ServerError),
        ("INTERNAL", errors.ServerError),
        ("UNAUTHENTICATED", errors.Unauthorized),
        ("PERMISSION_DENIED", errors.Unauthorized),
    ],
)
def test_status_decides_the_class(code: str, kind: type[Exception]) -> None:
    error = errors.from_status(code, "the details", "host:1")
    assert type(error) is kind
    assert "host:1" in str(error)
    assert "the details" in str(error)


def test_message_stays_on_one_line() -> None:
    assert "\n" not in str(errors.from_status("INTERNAL", "a\n  b\r\nc", "host:1"))


def test_status_without_details_shows_its_code() -> None:
    assert "INTERNAL" in str(errors.from_status("INTERNAL", "", "host:1"))


def test_unreachable_says_what_to_do() -> None:
    text = str(errors.unreachable("unix:/x.sock", "there is no such socket"))
    assert "unix:/x.sock" in text
    assert "is palomard running?" in text
    assert "--server" in text


def test_bad_requests_are_value_errors() -> None:
    assert issubclass(errors.InvalidRequest, ValueError)
