import pytest

from palomar.dialect import Dialect, environment_dialect, spoken_dialect


@pytest.mark.parametrize(
    ("value", "strict"),
    [("1", True), ("true", True), ("0", False), ("", False), ("No", False)],
)
def test_environment_chooses(monkeypatch: pytest.MonkeyPatch, value: str, strict: bool) -> None:  # noqa: FBT001 - a fact
    monkeypatch.setenv("PALOMAR_STRICT_HUBBLE", value)
    assert (environment_dialect() is Dialect.HUBBLE) is strict


def test_nothing_said_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PALOMAR_STRICT_HUBBLE", raising=False)
    assert environment_dialect() is Dialect.PALOMAR


@pytest.mark.parametrize(
    "line",
    ["--strict-hubble observe", "observe -f --strict-hubble", "observe --strict-hubble=true",
     "--strict-hubble=false observe --strict-hubble"],
)  # fmt: skip
def test_flag_is_found_wherever_it_stands(line: str) -> None:
    assert spoken_dialect(line.split()) is Dialect.HUBBLE


@pytest.mark.parametrize("line", ["observe", "observe -- --strict-hubble", "--strict-hubble=0"])
def test_other_lines_are_our_own(line: str) -> None:
    assert spoken_dialect(line.split()) is Dialect.PALOMAR
