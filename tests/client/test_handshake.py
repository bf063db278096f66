from typing import cast

import grpc
import pytest

from palomar.channel import open_channel
from palomar.errors import ServerUnavailable
from palomar.handshake import Certificate, fetch_certificate
from palomar.target import parse_target
from palomar.testing import FakeObserver
from palomar.tls import Tls
from palomar_proto.observer.observer_pb2 import ServerStatusRequest
from palomar_proto.observer.observer_pb2_grpc import ObserverStub
from tests.client.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def failure(server: str, tls: Tls | None) -> str:
    """Make a call that fails, and have it explained."""
    target = parse_target(server, tls)
    with open_channel(target) as channel, pytest.raises(grpc.RpcError) as failed:
        ObserverStub(channel).ServerStatus(ServerStatusRequest(), timeout=10)
    return target.handshake_failure(cast("grpc.Call", failed.value).details() or "")


def test_name_of_another_is_told_beside_the_one_expected(authority: Authority) -> None:
    names = ",".join(f"DNS:n{number}.example" for number in range(7))
    credentials = authority.server_credentials(authority.issue("many", names))
    with FakeObserver(credentials=credentials) as server:
        text = failure(server.target, Tls([authority.file]))
    assert "its certificate is for 'n0.example', 'n1.example'" in text
    assert "and 2 more, not for '127.0.0.1'" in text
    assert "--tls-server-name" in text


def test_unknown_authority_is_told(authority: Authority) -> None:
    pair = authority.issue("own", "DNS:localhost,IP:127.0.0.1")
    with FakeObserver(credentials=authority.server_credentials(pair)) as server:
        text = failure(f"tls://{server.target}", None)
    assert "not trusted here" in text
    assert "--tls-ca-cert-files" in text


def test_server_without_tls_is_told(authority: Authority) -> None:
    with FakeObserver(loopback=True) as server:
        assert "does not answer over TLS" in failure(server.target, Tls([authority.file]))
        with pytest.raises(ServerUnavailable, match="does not answer over TLS"):
            failure(server.target, Tls(allow_insecure=True))


def test_client_without_tls_is_told(authority: Authority) -> None:
    pair = authority.issue("own", "DNS:localhost")
    with FakeObserver(credentials=authority.server_credentials(pair)) as server:
        assert f"try --tls or --server tls://{server.target}" in failure(server.target, None)


def test_lack_of_a_client_certificate_is_told(authority: Authority) -> None:
    pair = authority.issue("own", "DNS:localhost,IP:127.0.0.1")
    with FakeObserver(credentials=authority.server_credentials(pair, ask=True)) as server:
        assert "may want a client certificate" in failure(server.target, Tls([authority.file]))


def test_refused_client_certificate_is_told(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pair = authority.issue("own", "DNS:localhost,IP:127.0.0.1")
    stranger = Authority(tmp_path_factory.mktemp("others")).issue("stranger")
    with FakeObserver(credentials=authority.server_credentials(pair, ask=True)) as server:
        tls = Tls(
            [authority.file],
            client_cert_file=stranger.certificate,
            client_key_file=stranger.key,
        )
        text = failure(server.target, tls)
    assert "may not know the authority of the client certificate" in text
    assert "stranger.pem" in text


def test_other_failures_are_not_about_tls() -> None:
    assert parse_target("h:1").handshake_failure("connection refused") == ""
    assert parse_target("tls://h:1").handshake_failure("connection refused") == ""


def test_certificate_is_fetched_with_its_names(authority: Authority) -> None:
    pair = authority.issue("own", "DNS:relay.example,IP:10.0.0.1")
    with FakeObserver(credentials=authority.server_credentials(pair)) as server:
        found = fetch_certificate(parse_target(server.target), Tls(), 10)
    assert found.names == ("relay.example", "10.0.0.1")
    assert found.pem.strip() in pair.certificate.read_text()


def test_certificate_that_has_expired_is_not_believed(authority: Authority) -> None:
    pair = authority.issue("late", "DNS:relay.example", days=-1)
    with (
        FakeObserver(credentials=authority.server_credentials(pair)) as server,
        pytest.raises(ServerUnavailable, match="expired"),
    ):
        fetch_certificate(parse_target(server.target), Tls(), 10)


def test_name_to_look_for_is_one_of_the_certificate() -> None:
    assert Certificate("", ("a.example", "b.example")).name_for("b.example") == "b.example"
    assert Certificate("", ("*.a.example",)).name_for("localhost") == "any.a.example"
    assert Certificate("", ()).name_for("localhost") == "localhost"
