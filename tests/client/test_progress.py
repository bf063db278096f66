import io
import threading

import pytest

from palomar import progress
from palomar.output import Output
from palomar.progress import Remarks


class Screen(io.StringIO):
    """A terminal that tells when something was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        if "flow" in text:
            self.drawn.set()
        return written


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_DELAY_S", 0.0)


def test_line_is_wiped_before_anything_that_stays_and_at_the_end() -> None:
    screen = Screen()
    with Remarks(Output(screen, prompt=True), screen, watch=True) as remarks:
        remarks.flows = 12345
        assert screen.drawn.wait(10)
        remarks.write("a node went away\n")
    text = screen.getvalue()
    assert text.startswith("\r\x1b[K")
    assert "\r\x1b[Ka node went away\n" in text
    # What was drawn last is wiped: nothing but lines that stay is left.
    assert text.rpartition("\r\x1b[K")[2] in {"", "a node went away\n"}


def test_nothing_is_drawn_where_nobody_can_see_it() -> None:
    stream = io.StringIO()
    with Remarks(Output(stream, prompt=True), stream, watch=True) as remarks:
        remarks.write("")
        remarks.stop()
    assert stream.getvalue() == ""


def test_stopping_ends_it_for_good() -> None:
    screen = Screen()
    with Remarks(Output(screen, prompt=True), screen, watch=True) as remarks:
        assert screen.drawn.wait(10)
        remarks.stop()
        length = len(screen.getvalue())
        remarks.stop()
    assert len(screen.getvalue()) == length


def test_line_says_how_far_it_is() -> None:
    stream = io.StringIO()
    remarks = Remarks(Output(stream, prompt=True), stream, watch=False)
    assert remarks.line(3.2) == "no flow so far, after 3 s"
    remarks.flows = 65535
    assert remarks.line(3.2) == "65,535 flows in 3 s"
    remarks = Remarks(Output(stream, prompt=True), stream, watch=False, flows_max=100_000)
    remarks.flows = 5
    assert remarks.line(1) == "5 of at most 100,000 flows in 1 s"
