from base64 import b64decode
from pathlib import Path

import pytest

from palomar.auth import BasicAuth, BearerToken
from palomar.errors import InvalidRequest


def test_token_goes_with_the_call() -> None:
    assert BearerToken("abc.def").metadata == (("authorization", "Bearer abc.def"),)


def test_token_file_is_read_anew_for_each_call(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    auth = BearerToken(file=file)
    assert auth.metadata[0][1] == "Bearer first"
    file.write_text("second")
    assert auth.metadata[0][1] == "Bearer second"


def test_password_goes_with_the_call() -> None:
    [(name, value)] = BasicAuth("me", "pass:wörd").metadata
    assert name == "authorization"
    assert b64decode(value.removeprefix("Basic ")).decode() == "me:pass:wörd"


def test_secrets_are_not_shown() -> None:
    assert "hunter2" not in repr(BearerToken("hunter2")) + repr(BasicAuth("me", "hunter2"))


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ümlaut", "\x00"])
def test_token_that_cannot_be_sent_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        BearerToken(token)
    assert token not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 70_000, b"\xff\xfe", b"a b"])
def test_file_without_a_token_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=str(file)):
        _ = BearerToken(file=file).metadata


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        _ = BearerToken(file=tmp_path / "x").metadata


def test_halves_and_doubles_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="both a user name and a password"):
        BasicAuth("me", "")
    with pytest.raises(InvalidRequest, match="colon"):
        BasicAuth("me:you", "x")
    with pytest.raises(InvalidRequest, match="not both"):
        BearerToken("x", file="y")
    with pytest.raises(InvalidRequest, match="either the token or a file"):
        BearerToken()
