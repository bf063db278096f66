import io

import pytest

from palomar.printers.color import COLORED, PLAIN, choose_palette


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _good_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_choice_wins_over_the_stream() -> None:
    assert choose_palette("ALWAYS", io.StringIO()) is COLORED
    assert choose_palette("never", Terminal()) is PLAIN


@pytest.mark.parametrize("choice", ["auto", "sometimes"])
def test_automatic_means_on_a_terminal(choice: str) -> None:
    assert choose_palette(choice, Terminal()) is COLORED
    assert choose_palette(choice, io.StringIO()) is PLAIN


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_environment_turns_automatic_colors_off(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert choose_palette("auto", Terminal()) is PLAIN
    assert choose_palette("always", Terminal()) is COLORED
