from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pydantic import ValidationError

from palomar_bpf.settings import CaptureSettings
from palomar_server import setting_sources
from palomar_server.setting_sources import load_settings
from palomar_server.settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def no_default_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setting_sources, "DEFAULT_CONFIG", tmp_path / "absent.yaml")


def lines(flags: dict[str, object]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environment={})
    return caught.value.lines


def test_defaults_are_valid() -> None:
    settings = load_settings({}, environment={})
    assert settings == Settings()
    assert settings.socket == Path("/run/palomar/palomar.sock")
    assert settings.socket_mode == 0o660
    assert settings.live
    assert settings.node_name


def test_another_source_turns_live_capture_off() -> None:
    assert not Settings(replay=Path("a")).live
    assert not Settings(cilium_socket=Path("a")).live
    assert Settings(cilium_socket=Path("a"), live=True).live


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ({"live": True}, "live"),
        ({"cilium_socket": "b"}, "cilium_socket"),
        ({"cilium_socket": "b", "live": True}, "live and cilium_socket"),
    ],
)
def test_a_replay_stands_alone(others: dict[str, object], named: str) -> None:
    assert lines({"replay": "a", **others}) == (
        f"replay and {named}: a recording is played alone, leave out either",
    )


def test_the_monitor_socket_is_beside_the_other_one() -> None:
    assert Settings(socket=Path("/a/b.sock")).monitor_socket == Path("/a/monitor.sock")
    assert Settings(monitor_socket=Path("c")).monitor_socket == Path("c")
    # Without the one there is no place for the other; that one is told.
    [line] = lines({"socket": 7})
    assert line.startswith("socket is 7")


def test_sockets_have_paths_of_their_own() -> None:
    [line] = lines({"monitor_socket": "/run/palomar/palomar.sock"})
    assert line.startswith("monitor_socket and socket are both /run/palomar/palomar.sock")
    load_settings({"monitor_socket": Settings().socket, "monitor_clients_max": 0}, environment={})


@pytest.mark.parametrize("name", ["socket", "monitor_socket", "cilium_socket"])
def test_a_socket_needs_a_possible_path(name: str) -> None:
    [line] = lines({name: "/" + 107 * "x"})
    assert line.endswith("is too long for a socket: at most 107 bytes")
    [line] = lines({name: Path()})
    assert line.startswith(f"{name} is '.' (from flag ")
    assert "must be the path of a socket" in line


@pytest.mark.parametrize("kind", ["trace", "drop"])
def test_a_rate_needs_a_burst(kind: str) -> None:
    [line] = lines({f"{kind}_burst_per_cpu": 0})
    assert line.startswith(f"{kind}_burst_per_cpu: 0 beside a rate")
    load_settings({f"{kind}_burst_per_cpu": 0, f"{kind}_rate_per_cpu": 0}, environment={})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Settings(), "streams_max", 3)  # noqa: B010 -- mypy would refuse an assignment


def test_every_setting_says_what_it_is_and_why_its_default() -> None:
    for name, field in Settings.model_fields.items():
        gist, _, reason = (field.description or "").partition("Default")
        assert gist.strip(), name
        assert reason.strip(), name


def test_defaults_of_the_kernel_side_are_the_same_there() -> None:
    settings = Settings()
    for field in dataclasses.fields(CaptureSettings):
        name = "interface" if field.name == "interfaces" else field.name
        assert getattr(settings, name) == field.default, name


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("snaplen_bytes", 64, 60_000),
        ("coalesce_max_s", 0, 0.1),
        ("coalesce_unwatched_max_s", 0, 0.1),
        ("connections_max", 1, (1 << 24) - 1),
        ("interfaces_max", 1, (1 << 20) - 1),
        ("pages_per_cpu", 1, 1 << 14),
        ("trace_rate_per_cpu", 0, 100_000_000),
    ],
)
def test_bounds_of_the_kernel_side_are_the_same_there(name: str, least: float, most: float) -> None:
    for value in (least, most):
        capture = CaptureSettings(**{name: value})  # type: ignore[arg-type]  # one name at a time
        assert getattr(load_settings({name: value}, environment={}), name) == getattr(capture, name)
    for value in (least - 1, most + 1):
        with pytest.raises(ValueError, match=name):
            CaptureSettings(**{name: value})  # type: ignore[arg-type]  # one name at a time
        assert lines({name: value})


def test_header_names_are_checked_and_of_one_case() -> None:
    settings = load_settings({"redact_http_headers_deny": "X-Api-Key, cookie"}, environment={})
    assert settings.redact_http_headers_deny == ("x-api-key", "cookie")
    (line,) = lines({"redact_http_headers_deny": "a b"})
    assert line.startswith("redact_http_headers_deny[0] is 'a b' (from flag --redact-http-headers")
    assert line.endswith("must be the name of an HTTP header, such as X-Api-Key")


def test_headers_are_either_allowed_or_denied() -> None:
    (line,) = lines({"redact_http_headers_deny": "a", "redact_http_headers_allow": "b"})
    assert line.startswith("redact_http_headers_allow and redact_http_headers_deny: ")
