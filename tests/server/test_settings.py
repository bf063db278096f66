from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pydantic import ValidationError

from palomar_bpf.settings import CaptureSettings
from palomar_server import settings as settings_module
from palomar_server.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def no_default_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings_module, "DEFAULT_CONFIG", tmp_path / "absent.yaml")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "palomard.yaml"


def lines(
    flags: dict[str, object], config: Path | None = None, environment: dict[str, str] | None = None
) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, config, environment or {})
    assert str(caught.value) == "\n".join(caught.value.lines)
    return caught.value.lines


def test_defaults_are_valid() -> None:
    settings = load_settings({}, environment={})
    assert settings == Settings()
    assert settings.socket == Path("/run/palomar/palomar.sock")
    assert settings.socket_mode == 0o660
    assert settings.live
    assert settings.node_name


def test_flags_win_over_environment_over_file_over_default(config: Path) -> None:
    config.write_text("cluster_name: file\nstreams_max: 1\nring_capacity: 1\n", encoding="utf-8")
    environment = {"PALOMARD_CLUSTER_NAME": "environment", "PALOMARD_STREAMS_MAX": "2"}
    settings = load_settings({"cluster_name": "flag"}, config, environment)
    assert settings.cluster_name == "flag"
    assert settings.streams_max == 2
    assert settings.ring_capacity == 1
    assert settings.log_level == "info"


def test_flags_that_were_not_given_do_not_count() -> None:
    environment = {"PALOMARD_INTERFACE": "eth*,veth*", "PALOMARD_LIVE": "false"}
    settings = load_settings({"interface": (), "live": None}, environment=environment)
    assert settings.interface == ("eth*", "veth*")
    assert not settings.live


def test_the_default_file_is_read_if_it_exists(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    monkeypatch.setattr(settings_module, "DEFAULT_CONFIG", config)
    assert load_settings({}, environment={}).streams_max == 256
    config.write_text("streams_max: 5", encoding="utf-8")
    assert load_settings({}, environment={}).streams_max == 5


def test_a_named_file_must_exist(config: Path) -> None:
    assert lines({}, config) == (f"{config}: cannot be read: No such file or directory",)


def test_the_processes_own_environment_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALOMARD_STREAMS_MAX", "7")
    assert load_settings({}).streams_max == 7
    # Making the object looks at nothing.
    assert Settings().streams_max == 256


def test_variables_that_kubernetes_makes_are_passed_over() -> None:
    environment = {"PALOMARD_SERVICE_HOST": "10.0.0.1", "PALOMARD_PORT": "tcp://10.0.0.1:4244"}
    assert load_settings({}, environment=environment) == Settings()


def test_each_wrong_value_is_told_with_its_source(config: Path) -> None:
    config.write_text("drops: some\nstreams: 3\nhooks: [a:b, c]\n", encoding="utf-8")
    told = lines({"ring_capacity": 4096}, config, {"PALOMARD_SPEED": "fast"})
    unknown, *_ = (line for line in told if "no such setting" in line)
    assert unknown == (
        f"streams (from file {config}): there is no such setting; did you mean streams_max?"
    )
    assert [line.partition(": ")[0] for line in told if line != unknown] == [
        "ring_capacity is 4096 (from flag --ring-capacity)",
        "speed is 'fast' (from environment PALOMARD_SPEED)",
        f"drops is 'some' (from file {config})",
        f"hooks[1] is 'c' (from file {config})",
    ]
    assert told[0].endswith(
        ": must be one less than a power of two, 1 to 65,535; the nearest valid are 4095 and 8191"
    )
    assert f"(from file {config}): input should be 'all', 'watched' or 'off'" in told[2]


def test_a_default_that_depends_on_a_wrong_value_is_not_told_too() -> None:
    [line] = lines({"replay": 7})
    assert line.startswith("replay is 7")


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
