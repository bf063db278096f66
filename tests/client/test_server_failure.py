import pytest

from palomar.errors import InvalidRequest, ServerError, from_status
from palomar.server_failure import hubble_text, hubble_wording


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("UNAVAILABLE", "rpc error: code = Unavailable desc = gone"),
        ("OUT_OF_RANGE", "rpc error: code = OutOfRange desc = gone"),
        ("CANCELLED", "rpc error: code = Canceled desc = gone"),
        ("UNKNOWN", "gone"),
    ],
)
def test_status_is_worded_as_in_go(status: str, text: str) -> None:
    assert hubble_text(status, "gone") == text


def test_strict_errors_are_reworded_and_keep_their_status() -> None:
    text = "rpc error: code = Internal desc = no\nno"
    with pytest.raises(ServerError, match=f"^{text}$") as caught, hubble_wording(strict=True):
        raise from_status("INTERNAL", "no\nno", "node-1")
    assert (caught.value.status, caught.value.details) == ("INTERNAL", "no\nno")


def test_errors_of_our_own_pass_as_they_are() -> None:
    with pytest.raises(InvalidRequest, match="port 9 is too large"), hubble_wording(strict=True):
        raise InvalidRequest("port 9 is too large")


def test_otherwise_nothing_is_reworded() -> None:
    failed = pytest.raises(ServerError, match="node-1 failed to answer")
    with failed, hubble_wording(strict=False):
        raise from_status("INTERNAL", "no", "node-1")
