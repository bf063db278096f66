from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from palomar_server import setting_sources
from palomar_server.setting_sources import load_settings
from palomar_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_default_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setting_sources, "DEFAULT_CONFIG", tmp_path / "absent.yaml")


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
    monkeypatch.setattr(setting_sources, "DEFAULT_CONFIG", config)
    assert load_settings({}, environment={}).streams_max == 1024
    config.write_text("streams_max: 5", encoding="utf-8")
    assert load_settings({}, environment={}).streams_max == 5


def test_a_named_file_must_exist(config: Path) -> None:
    assert lines({}, config) == (f"{config}: cannot be read: No such file or directory",)


def test_the_processes_own_environment_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALOMARD_STREAMS_MAX", "7")
    assert load_settings({}).streams_max == 7
    # Making the object looks at nothing.
    assert Settings().streams_max == 1024


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


@pytest.mark.parametrize("value", ["postgresql+asyncpg://user:s3cret@host", ["s3cret"]])
def test_a_value_that_may_hold_a_password_is_never_shown(value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"database_url": value}, environment={})
    [line] = caught.value.lines
    assert line.startswith("database_url (from flag --database-url), whose value is not shown: ")
    # As --debug would show it.
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_settings_do_not_show_a_password() -> None:
    environment = {"PALOMARD_DATABASE_URL": "postgresql+asyncpg://user:s3cret@host/name"}
    settings = load_settings({}, environment=environment)
    assert "s3cret" in settings.database_url
    assert "s3cret" not in f"{settings} {settings!r}"
