from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palomar_server.yaml_file import YamlFileError, read_yaml_mapping

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.yaml"


def read(path: Path, content: bytes) -> dict[str, object]:
    path.write_bytes(content)
    return read_yaml_mapping(path, max_bytes=1000)


def test_a_mapping_is_read(path: Path) -> None:
    assert read(path, b"a: 1\nb: [x, {c: d}]\n") == {"a": 1, "b": ["x", {"c": "d"}]}


def test_an_empty_file_is_an_empty_mapping(path: Path) -> None:
    assert read(path, b"# nothing\n") == {}


def test_merge_keys_work(path: Path) -> None:
    text = b"a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n"
    assert read(path, text)["d"] == {"b": 1, "c": 3}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"a: 1\nb: 2\na: 3\n", r"a\.yaml, line 3, column 1: 'a' stands here again, after line 1"),
        (b"x: {a: 1, a: 2}", "line 1, column 11: 'a' stands here again"),
        (b"? [a]\n: 1", "a key must be a plain value"),
        (b"- a", "holds a list, must hold a mapping"),
        (b"7", "holds a int, must hold a mapping"),
        (b"7: a", "the name 7 is a int, must be text"),
        (b"a: [", r"a\.yaml, line 2, column 1"),
        (b"a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        (b"a: 2020-99-99", "month must be in 1..12"),
        (b"\xff\xfe\xfd", r"a\.yaml"),
        (b"a: " + b"x" * 1000, "longer than 1,000 bytes"),
    ],
)
def test_what_is_wrong_is_told(path: Path, content: bytes, what: str) -> None:
    with pytest.raises(YamlFileError, match=what):
        read(path, content)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(YamlFileError, match=r"a\.yaml: cannot be read: No such file"):
        read_yaml_mapping(path, max_bytes=10)


@given(st.binary(max_size=60) | st.text(":{}[]-&*!|>'\"%@`a1 \n", max_size=40).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_mapping_or_a_yaml_file_error(path: Path, content: bytes) -> None:
    try:
        found = read(path, content)
    except YamlFileError:
        return
    assert all(isinstance(key, str) for key in found)
