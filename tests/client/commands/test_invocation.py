import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from palomar.auth import BasicAuth, BearerToken
from palomar.commands.invocation import Invocation
from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.testing import FakeObserver, make_response


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "PALOMAR_SERVER", "HUBBLE_SERVER", "PALOMAR_STRICT_HUBBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def invocation(dialect: Dialect = Dialect.PALOMAR, **flags: object) -> Invocation:
    return Invocation(dialect, {name.replace("_", "-"): value for name, value in flags.items()})


def test_defaults() -> None:
    run = invocation()
    assert (run.server, run.connect_timeout_s, run.request_timeout_s) == (
        "unix:/run/palomar/palomar.sock", 5, 12,
    )  # fmt: skip
    assert (run.strict, run.debug, run.verbose, run.tls, run.auth) == (
        False, False, False, None, None,
    )  # fmt: skip
    assert invocation(Dialect.HUBBLE).server == "localhost:4245"


def test_contexts_share_one() -> None:
    outer = click.Context(click.Command("outer"))
    inner = click.Context(click.Command("inner"), parent=outer)
    assert Invocation.of(outer) is Invocation.of(inner)


def test_client_asks_as_the_settings_say() -> None:
    with (
        FakeObserver([make_response()]) as server,
        invocation(server=server.target, request_timeout="3s").client() as client,
    ):
        assert client.server == server.target
        assert len(list(client.observe())) == 1


def test_tls_is_meant_by_flag_or_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    assert invocation(server="h:1").tls is None
    assert invocation(server="tls://h:1", tls_server_name="x").tls is not None
    assert invocation(server="h:1", tls=True).tls is not None
    monkeypatch.setenv("PALOMAR_TLS", "true")
    assert invocation(server="h:1").tls is not None
    # What holds for the usual server is not meant for a local socket.
    assert invocation(server="unix:/x").tls is None
    assert invocation(server="unix:/x", tls=True).tls is not None
    assert invocation(Dialect.HUBBLE, server="unix:/x").tls is not None


def test_all_of_tls_is_passed_on() -> None:
    tls = invocation(
        server="tls://h:1", tls_ca_cert_files=["a", "b"], tls_client_cert_file="c",
        tls_client_key_file="k", tls_server_name="n", tls_allow_insecure=True,
    ).tls  # fmt: skip
    assert tls is not None
    assert (tls.ca_cert_files, tls.client_cert_file, tls.client_key_file) == (("a", "b"), "c", "k")
    assert (tls.server_name, tls.allow_insecure) == ("n", True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"tls_client_cert_file": "x"}, "and its key go together"),
        ({"tls_client_key_file": "x"}, "and its key go together"),
        ({"tls_client_cert_file": "x", "tls_client_key_file": "y"}, "is shown over TLS only"),
        ({"tls_ca_cert_files": ["x"]}, "means nothing without TLS"),
        ({"tls_server_name": "x"}, "means nothing without TLS"),
        ({"tls_allow_insecure": True}, "means nothing without TLS"),
        ({"basic_auth_username": "x"}, "a user name and its password"),
        ({"basic_auth_password": "x"}, "a user name and its password"),
        (
            {"basic_auth_password": "x", "basic_auth_username": "y", "bearer_token_file": "z"},
            "takes one of them",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_told(flags: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        invocation(Dialect.PALOMAR, **flags).check()


def test_dialect_of_hubble_lets_idle_settings_be() -> None:
    run = invocation(Dialect.HUBBLE, tls_server_name="x", tls_ca_cert_files=["y"])
    run.check()
    assert run.tls is None


def test_dialect_of_hubble_wants_tls_for_a_password() -> None:
    flags = {"basic_auth_username": "x", "basic_auth_password": "y", "server": "unix:/x"}
    invocation(Dialect.PALOMAR, **flags).check()
    with pytest.raises(InvalidRequest, match="is sent over TLS only"):
        invocation(Dialect.HUBBLE, **flags).check()


def test_identity_comes_from_flag_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "token")
    assert invocation(bearer_token_file=file).auth == BearerToken(file=file)
    monkeypatch.setenv("PALOMAR_BEARER_TOKEN", "abc")
    assert invocation().auth == BearerToken("abc")
    assert invocation(bearer_token_file=file).auth == BearerToken(file=file)
    monkeypatch.delenv("PALOMAR_BEARER_TOKEN")
    monkeypatch.setenv("HUBBLE_BASIC_AUTH_USERNAME", "me")
    monkeypatch.setenv("PALOMAR_BASIC_AUTH_PASSWORD", "x")
    assert invocation().auth == BasicAuth("me", "x")


def test_filters_from_outside_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALOMAR_DENYLIST", '{"reply": [true]}')
    assert invocation().filter_list("denylist") == ['{"reply": [true]}']
    assert invocation().filter_list("allowlist") == []


def fake_kubectl(folder: Path, address: str) -> None:
    script = folder / "kubectl"
    script.write_text(
        '#!/bin/sh\ncase "$*" in *" get "*) echo 80 ;; *)\n'
        f'echo $$ > "{folder}/pid"\n'
        f"echo 'Forwarding from {address} -> 4245'; exec sleep 60 ;;\nesac\n"
    )
    script.chmod(0o755)


def test_forwarded_port_is_dialled_and_given_up_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with FakeObserver([make_response()], loopback=True) as server:
        fake_kubectl(tmp_path, server.target)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        with (
            click.Context(click.Command("observe")),
            invocation(server="ignored:1", port_forward=True).client() as client,
        ):
            assert len(list(client.observe())) == 1
            pid = int((tmp_path / "pid").read_text())
            assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_forwarded_port_is_given_up_when_told_to_end(
    tmp_path: Path, plain_environment: dict[str, str]
) -> None:
    with FakeObserver([make_response()], loopback=True, hold=True) as server:
        fake_kubectl(tmp_path, server.target)
        program = subprocess.Popen(
            [sys.executable, "-m", "palomar", "observe", "-f", "-P"],
            env=plain_environment | {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdout is not None
        assert b"FORWARDED" in program.stdout.readline()
        program.terminate()
        program.communicate(timeout=30)
    assert program.returncode == 128 + signal.SIGTERM
    assert not Path(f"/proc/{int((tmp_path / 'pid').read_text())}").exists()
