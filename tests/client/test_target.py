import socket
from pathlib import Path

import pytest

from palomar.errors import InvalidRequest
from palomar.target import DEFAULT_SERVER, parse_target
from palomar.tls import Tls


@pytest.mark.parametrize(
    ("text", "address", "path"),
    [
        ("unix:/run/x.sock", "unix:/run/x.sock", "/run/x.sock"),
        ("unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock"),
        ("unix:x.sock", "unix:x.sock", "x.sock"),
        ("/run/x.sock", "unix:/run/x.sock", "/run/x.sock"),
        ("localhost:4245", "localhost:4245", ""),
        ("[::1]:4245", "[::1]:4245", ""),
    ],
)
def test_known_forms(text: str, address: str, path: str) -> None:
    target = parse_target(text)
    assert (target.text, target.address, target.socket_path) == (text, address, path)


@pytest.mark.parametrize(
    "text",
    ["localhost", "localhost:", "localhost:0", "localhost:65536", ":4245", "::1:4245", "unix:",
     "unix://", "http://x:1", "a b:1", "unix:/" + "x" * 107],
)  # fmt: skip
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="server"):
        parse_target(text)


def test_longest_socket_path_is_taken() -> None:
    assert parse_target("unix:/" + "x" * 106).socket_path


def test_environment_names_the_server_when_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert parse_target().text == DEFAULT_SERVER
    monkeypatch.setenv("PALOMAR_SERVER", "relay:4245")
    assert parse_target().text == "relay:4245"
    assert parse_target("other:1").text == "other:1"


def test_refusal_tells_an_absent_socket_from_a_deaf_one(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    target = parse_target(f"unix:{path}")
    assert "no such socket" in target.refusal("")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
    assert "nothing listens" in target.refusal("")


def test_refusal_of_a_network_address_is_the_last_reason() -> None:
    details = "failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:5: refused"
    assert parse_target("h:1").refusal(details) == "refused"
    assert parse_target("h:1").refusal("") == "no answer"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tls://relay:443", "relay:443"),
        ("tls://[::1]:443", "[::1]:443"),
        ("dns:relay:443", "relay:443"),
        ("dns:///relay:443", "relay:443"),
        ("passthrough:///relay:443", "relay:443"),
    ],
)
def test_schemes_are_known(text: str, address: str) -> None:
    target = parse_target(text)
    assert (target.text, target.address) == (text, address)
    assert (target.tls is not None) is text.startswith("tls://")


def test_host_and_port_are_told_apart() -> None:
    assert (parse_target("[::1]:443").host, parse_target("[::1]:443").port) == ("::1", 443)
    assert (parse_target("relay:443").host, parse_target("relay:443").port) == ("relay", 443)
    # What gRPC takes a local socket for.
    assert (parse_target("unix:/x").host, parse_target("unix:/x").port) == ("localhost", 0)


def test_what_is_known_of_tls_stays_with_the_target() -> None:
    tls = Tls(server_name="x")
    assert parse_target("relay:443", tls).tls is tls
    assert parse_target("tls://relay:443", tls).tls is tls
    assert parse_target("relay:443").tls is None
