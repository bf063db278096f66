import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar.configuration_file import read_file, settings_text, write_file
from palomar.errors import InvalidRequest

# YAML carries no other control characters, and arguments of a program no lone surrogates.
TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")))
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(), st.lists(TEXTS))


@settings(deadline=None)  # machines have slow moments
@given(st.dictionaries(st.from_regex(r"[a-z-]{1,9}", fullmatch=True), VALUES, max_size=5))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    write_file(path, values)
    assert read_file(path) == values


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.yaml"
    write_file(path, {"basic-auth-password": "x"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_file(tmp_path / "link", {"a": 1})
    assert (tmp_path / "link").is_symlink()
    assert read_file(tmp_path / "file") == {"a": 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": "x", "a": ["1", "x"]}, 'a:\n    - "1"\n    - x\nb: x\n'),
        ("localhost:4245", "localhost:4245\n"),
        ("", '""\n'),
        ("true", '"true"\n'),
        ("yes", '"yes"\n'),
        ("1e3", '"1e3"\n'),
        ("0o7", '"0o7"\n'),
        ({"a": "b\nc"}, "a: |-\n    b\n    c\n"),
        ('{"a":["b"]}', '\'{"a":["b"]}\'\n'),
        (True, "true\n"),
        ([], "[]\n"),
        ("a" * 300 + " b", "a" * 300 + " b\n"),
    ],
)
def test_text_is_as_go_writes_it(value: object, text: str) -> None:
    assert settings_text(value) == text


def test_words_are_not_booleans(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: yes\nb: true\nC: off\n")
    assert read_file(path) == {"a": "yes", "b": True, "c": "off"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: [", "no YAML at line 1"),
        (b"\x00", "no YAML"),
        (b"\xff", "no YAML"),
        (b"- a", "holds no settings"),
        (b"a: !!python/object:os.system {}", "no YAML at line 1"),
        (b"a: " + b"[" * 5000, "no YAML"),
        (b"x" * (1024 * 1024 + 1), "longer than"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=reason):
        read_file(path)


def test_empty_file_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("# nothing\n")
    assert read_file(path) == {}


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="cannot write the configuration file"):
        write_file(tmp_path / "file" / "config.yaml", {})
