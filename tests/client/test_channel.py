from collections.abc import Iterator

import grpc
import pytest

from palomar.async_client import AsyncClient
from palomar.auth import BasicAuth, BearerToken
from palomar.channel import open_aio_channel, open_channel
from palomar.client import Client
from palomar.errors import InvalidRequest, ServerUnavailable
from palomar.target import parse_target
from palomar.testing import FakeObserver, make_response
from palomar.tls import Tls
from tests.client.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(authority: Authority) -> Iterator[FakeObserver]:
    pair = authority.issue("server", "DNS:relay.example,DNS:*.wild.example")
    with FakeObserver(
        [make_response()], credentials=authority.server_credentials(pair)
    ) as observer:
        yield observer


def test_server_is_made_sure_of(authority: Authority, server: FakeObserver) -> None:
    tls = Tls([authority.file], server_name="relay.example")
    with Client(server.target, tls=tls) as client:
        assert len(list(client.observe())) == 1


async def test_asyncio_has_the_same(authority: Authority, server: FakeObserver) -> None:
    tls = Tls([authority.file], server_name="a.wild.example")
    async with AsyncClient(server.target, tls=tls) as client:
        assert len([flow async for flow in client.observe()]) == 1


@pytest.mark.parametrize("names", ["DNS:relay.example", "DNS:*.wild.example", "IP:10.1.2.3", ""])
def test_whichever_server_answers_is_believed_if_asked(authority: Authority, names: str) -> None:
    credentials = authority.server_credentials(authority.issue("any", names))
    with (
        FakeObserver([make_response()], credentials=credentials) as observer,
        Client(observer.target, tls=Tls(allow_insecure=True)) as client,
    ):
        assert len(list(client.observe())) == 1


async def test_asyncio_believes_likewise(server: FakeObserver) -> None:
    async with AsyncClient(server.target, tls=Tls(allow_insecure=True)) as client:
        assert len([flow async for flow in client.observe()]) == 1


def test_client_proves_who_it_is(authority: Authority) -> None:
    pair = authority.issue("own", "DNS:localhost,IP:127.0.0.1")
    client_pair = authority.issue("client")
    with FakeObserver(
        [make_response()], credentials=authority.server_credentials(pair, ask=True)
    ) as observer:
        for files in ([authority.file], []):
            tls = Tls(
                files,
                client_cert_file=client_pair.certificate,
                client_key_file=client_pair.key,
                allow_insecure=not files,
            )
            with Client(observer.target, tls=tls) as client:
                assert len(list(client.observe())) == 1


def test_secrets_go_with_every_call_over_tls(authority: Authority, server: FakeObserver) -> None:
    tls = Tls([authority.file], server_name="relay.example")
    for auth in (BearerToken("abc"), BasicAuth("me", "x")):
        with Client(server.target, tls=tls, auth=auth) as client:
            client.status()


@pytest.mark.parametrize("auth", [BearerToken("abc"), BasicAuth("me", "x")])
def test_secrets_do_not_go_over_a_network_in_plain_text(auth: BearerToken | BasicAuth) -> None:
    target = parse_target("relay.example:4245")
    with pytest.raises(InvalidRequest, match="plain text; use TLS"):
        open_channel(target, None, auth)
    with pytest.raises(InvalidRequest, match="plain text; use TLS"):
        open_aio_channel(target, None, auth)


def test_secrets_may_go_to_a_local_socket() -> None:
    open_channel(parse_target("unix:/run/x.sock"), None, BearerToken("abc")).close()


def test_nobody_there_to_believe() -> None:
    with pytest.raises(ServerUnavailable, match=r"cannot reach tls://127\.0\.0\.1:1"):
        open_channel(parse_target("tls://127.0.0.1:1", Tls(allow_insecure=True)))


def test_targets_scheme_is_enough(authority: Authority, server: FakeObserver) -> None:
    target = parse_target(
        f"tls://{server.target}", Tls([authority.file], server_name="relay.example")
    )
    with open_channel(target) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_no_proxy_leads_to_this_machine(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with FakeObserver(loopback=True) as plain, Client(plain.target) as client:
        client.status()
    with (
        Client("relay.example:4245") as client,
        pytest.raises(ServerUnavailable, match=rf"the proxy that \${variable} names"),
    ):
        client.status()
