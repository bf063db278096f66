import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.client import Client
from palomar.server_version import ServerVersion
from palomar.testing import FakeObserver
from palomar.version_check import SemanticVersion, version_warnings, warn_of_newer_server
from palomar_proto.observer.observer_pb2 import ServerStatusResponse


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1.20.0", "1.20.0"),
        (" v1.20 ", "1.20.0"),
        ("2", "2.0.0"),
        ("01.020.003", "1.20.3"),
        ("1.1.1-alpha-1+123456.789", "1.1.1-alpha-1+123456.789"),
        ("0.0.0", "0.0.0"),
    ],
)
def test_version_is_read_leniently(text: str, shown: str) -> None:
    version = SemanticVersion.read(text)
    assert version is not None
    assert version.text == shown


@pytest.mark.parametrize(
    "text",
    ["", "garbage", "1,1.1", "1.1-rc", "1.2.3-", "1.2.3-a..b", "1.2.3-01", "1.2.3+", "-1.2.3",
     "1.2.3.4", "99999999999999999999.0.0", "1" * 5000],
)  # fmt: skip
def test_what_is_no_version_says_nothing(text: str) -> None:
    assert SemanticVersion.read(text) is None


@given(st.text())
def test_any_text_is_read_or_not(text: str) -> None:
    version = SemanticVersion.read(text)
    assert version is None or SemanticVersion.read(version.text) == version


@pytest.mark.parametrize("text", ["1.19.5", "1.18.9", "0.1.0", "1.19.4+g0123abc", None, "?"])
def test_patch_releases_and_older_ones_are_no_matter(text: str | None) -> None:
    assert version_warnings(ServerVersion(node=text, relay=text)) == []


def test_nobody_said_anything() -> None:
    assert version_warnings(None) == []


def test_newer_ones_are_named_the_relay_first() -> None:
    relay, node = version_warnings(ServerVersion(node="2.0.0", relay="v1.20.1"))
    assert "relay serves the API of Hubble 1.20" in relay
    assert "server serves the API of Hubble 2.0" in node


def test_warning_is_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    headers = {"hubble-server-version": "1.20.0"}
    with (
        FakeObserver(status=ServerStatusResponse(), headers=headers) as server,
        Client(server.target) as client,
    ):
        warn_of_newer_server(client)
        assert capsys.readouterr() == ("", "")
        client.status()
        warn_of_newer_server(client)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("palomar: the server serves the API of Hubble 1.20")
