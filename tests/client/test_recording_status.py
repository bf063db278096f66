import io

import pytest

from palomar.recording_status import StatusLine, elapsed_text
from palomar_proto.palomar.v1.recordings_pb2 import RECORDING_STATUS_RUNNING, Recording
from tests.client.recording_cases import counts


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


RUNNING = Recording(id="web-0000000a", status=RECORDING_STATUS_RUNNING, counts=counts(1234, ring=5))


def test_line_says_how_it_goes() -> None:
    status = StatusLine(Terminal())
    assert status.line() == "starting"
    status.show(RUNNING)
    parts = status.line().split("  ")
    assert parts[:5] == ["running", "web-0000000a", "1,234 packets", "844 KiB", "5 lost"]
    assert parts[5].endswith("/s")
    assert parts[6] == "0:00"


def test_rate_is_of_what_came_lately() -> None:
    status = StatusLine(Terminal())
    assert status._rate() == 0
    status.show(Recording(counts=counts(10)))
    status.show(Recording(counts=counts(110)))
    assert status._rate() > 100


def test_downloads_and_notes_stand_instead() -> None:
    status = StatusLine(Terminal())
    status.downloaded(1 << 20, 3 << 20)
    assert status.line() == "downloading  1.0 MiB of 3.0 MiB"
    status.note("")
    assert status.line() == "starting"


def test_terminal_is_left_clean() -> None:
    terminal = Terminal()
    with StatusLine(terminal) as status:
        status.show(RUNNING)
        assert status.shown
    assert "running  web-0000000a" in terminal.getvalue()
    assert terminal.getvalue().endswith(("\x1b[2K", "\x1b[?25h", "\r"))


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_nothing_is_drawn_where_nothing_can_be(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    with StatusLine(plain) as status:
        status.show(RUNNING)
        assert not status.shown
    assert plain.getvalue() == ""
    monkeypatch.setenv("TERM", term)
    assert not StatusLine(Terminal()).shown


def test_time_is_written_as_on_a_clock() -> None:
    assert [elapsed_text(s) for s in (0, 61.9, 3600)] == ["0:00", "1:01", "1:00:00"]
