from pathlib import Path

import pytest

from palomar.configuration import SETTINGS, Configuration, Kind, Origin
from palomar.dialect import Dialect
from palomar.errors import InvalidRequest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in ("SERVER", "TLS", "TIMEOUT", "CONFIG", "ALLOWLIST", "TLS_CA_CERT_FILES"):
        for prefix in ("PALOMAR_", "HUBBLE_"):
            monkeypatch.delenv(prefix + name, raising=False)
    return tmp_path


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_stronger_places_come_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(**flags: object) -> None:
        seen.append(Configuration(flags=dict(flags)).text("server"))

    look()
    put(home / ".config/hubble/config.yaml", "server: hubble-file:1")
    look()
    put(home / ".palomar/config.yaml", "server: old-file:1")
    look()
    put(home / ".config/palomar/config.yaml", "server: file:1")
    look()
    monkeypatch.setenv("HUBBLE_SERVER", "hubble-variable:1")
    look()
    monkeypatch.setenv("PALOMAR_SERVER", "variable:1")
    look()
    put(home / ".config/palomar/views/mine.yaml", "server: view:1")
    look(view="mine")
    look(view="mine", server="flag:1")
    assert seen == [
        "unix:/run/palomar/palomar.sock", "hubble-file:1", "old-file:1", "file:1",
        "hubble-variable:1", "variable:1", "view:1", "flag:1",
    ]  # fmt: skip


def test_folder_one_happens_to_be_in_is_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "here/config.yaml", "server: trap:1")
    monkeypatch.chdir(tmp_path / "here")
    assert Configuration().find("server").origin is Origin.DEFAULT


def test_dialect_of_hubble_looks_where_hubble_does(home: Path) -> None:
    put(home / ".config/palomar/config.yaml", "server: ours:1")
    settings = Configuration(Dialect.HUBBLE)
    assert settings.text("server") == "localhost:4245"
    assert settings.file == home / ".config/hubble/config.yaml"
    put(settings.file, "server: theirs:1")
    assert Configuration(Dialect.HUBBLE).text("server") == "theirs:1"


def test_xdg_config_home_moves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    assert Configuration().file_to_write == tmp_path / "x/palomar/config.yaml"


def test_hubbles_own_file_is_read_but_not_written(home: Path) -> None:
    file = put(home / ".config/hubble/config.yaml", "")
    settings = Configuration()
    assert settings.file == file
    assert settings.file_to_write == home / ".config/palomar/config.yaml"


def test_named_file_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALOMAR_CONFIG", str(tmp_path / "x.yaml"))
    with pytest.raises(InvalidRequest, match="No such file"):
        Configuration().text("server")
    # To `hubble` it is as if it were empty.
    assert Configuration(Dialect.HUBBLE).text("server") == "localhost:4245"


def test_broken_file_is_told_with_its_line(home: Path) -> None:
    put(home / ".config/palomar/config.yaml", "server: a:1\ntls: [")
    with pytest.raises(InvalidRequest, match="no YAML at line 2"):
        Configuration().text("server")


@pytest.mark.parametrize("word", ["yes", "TRUE", "1", "on", "t"])
def test_booleans_have_many_words(word: str) -> None:
    assert Configuration(flags={"tls": word}).boolean("tls")


def test_what_is_no_boolean_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBLE_TLS", "maybe")
    with pytest.raises(InvalidRequest, match="HUBBLE_TLS: 'maybe' is neither true nor false"):
        Configuration().boolean("tls")
    assert Configuration(Dialect.HUBBLE).boolean("tls") is False


def test_durations_are_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Configuration().duration_s("request-timeout") == 12
    monkeypatch.setenv("PALOMAR_TIMEOUT", "1m0.5s")
    assert Configuration().duration_s("timeout") == 60.5
    monkeypatch.setenv("PALOMAR_TIMEOUT", "5")
    with pytest.raises(InvalidRequest, match="PALOMAR_TIMEOUT: '5' is not a duration"):
        Configuration().duration_s("timeout")
    assert Configuration(Dialect.HUBBLE).duration_s("timeout") == 5e-9


@pytest.mark.parametrize("text", ["-1", "65536", "http", "", "٣"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no port"):
        Configuration(flags={"port-forward-port": text}).port("port-forward-port")


def test_lists_come_in_every_form(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tls-ca-cert-files"
    assert Configuration().texts(name) == []
    put(home / ".config/palomar/config.yaml", "tls-ca-cert-files: [a, b]")
    assert Configuration().texts(name) == ["a", "b"]
    monkeypatch.setenv("PALOMAR_TLS_CA_CERT_FILES", "c,d")
    assert Configuration().texts(name) == ["c", "d"]
    assert Configuration(Dialect.HUBBLE).texts(name) == ["c,d"]
    assert Configuration(flags={name: ["e"]}).texts(name) == ["e"]


def test_filters_are_json_wherever_they_are(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Configuration(flags={"view": "drops"})
    put(
        home / ".config/palomar/views/drops.yaml",
        "allowlist:\n- '{\"reply\": [true]}'\n- {source_pod: [web/]}\n",
    )
    assert settings.filter_texts("allowlist") == ['{"reply": [true]}', '{"source_pod": ["web/"]}']
    assert settings.filter_texts("denylist") == []
    monkeypatch.setenv("HUBBLE_ALLOWLIST", '{"reply": [true]} {}')
    assert Configuration().filter_texts("allowlist") == ['{"reply": [true]} {}']
    # `hubble` takes a text apart at its spaces.
    assert Configuration(Dialect.HUBBLE).filter_texts("allowlist") == ['{"reply":', "[true]}", "{}"]


@pytest.mark.parametrize("name", ["../x", ".x", "", "a/b", "a b"])
def test_view_is_a_name_and_no_path(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no name"):
        Configuration().view_file(name)


def test_absent_view_is_told() -> None:
    with pytest.raises(InvalidRequest, match=r"views/mine\.yaml: No such file"):
        Configuration(flags={"view": "mine"}).text("server")


def test_defaults_are_of_their_kind() -> None:
    settings = Configuration()
    for name, setting in SETTINGS.items():
        if setting.kind is Kind.BOOL:
            assert settings.boolean(name) is False
        elif setting.kind is Kind.DURATION:
            assert settings.duration_s(name) > 0
        elif setting.kind is Kind.PORT:
            assert settings.port(name) == 4245


@pytest.mark.parametrize(
    ("text", "filters"),
    [("[null, {uuid: [a]}]", []), ("{uuid: [a]}", []), ("[1, true, x]", ["1", "true", "x"]),
     ("5", ["5"]), ("a b", ["a", "b"]), ("", [])],
)  # fmt: skip
def test_filters_in_yaml_are_texts_to_hubble(home: Path, text: str, filters: list[str]) -> None:
    put(home / ".config/hubble/config.yaml", f"allowlist: {text}")
    assert Configuration(Dialect.HUBBLE).filter_texts("allowlist") == filters


def test_hubble_searches_when_told_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "here").mkdir()
    monkeypatch.chdir(home / "here")
    found = []
    for place in (".hubble", ".config/hubble", "here"):
        put(home / place / "config.yaml", f"server: {place}")
        found.append(Configuration(Dialect.HUBBLE, {"config": ""}).text("server"))
    assert found == [".hubble", ".config/hubble", "here"]
    assert Configuration(Dialect.HUBBLE).text("server") == ".config/hubble"
