import io
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress

from rich.console import Console

from palomar.testing import FakeObserver
from palomar.top import top_picture, top_text
from palomar.top_lists import TopList, TopRow
from palomar_proto.palomar.v1.summary_pb2 import SummarizeResponse, SummaryGroup

LIST = TopList(
    title="pod",
    rows=[
        TopRow("shop/web-1", flows=1200, drops=12, bytes=1 << 20),
        TopRow("[red]x\x1b[31m", flows=3, drops=3),
    ],
)


def test_plain_list_has_rates_of_the_window() -> None:
    assert top_text(LIST, 60).splitlines() == [
        "POD            FLOWS   FLOWS/S   DROPPED     BYTES",
        "shop/web-1     1,200      20.0        12   1.0 MiB",
        "[red]x^[[31m       3       0.1         3       0 B",
    ]


def test_picture_shows_names_as_they_are_and_steers_nothing() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=100, force_terminal=False)
    console.print(top_picture([LIST], 60, "palomar top"))
    text = screen.getvalue()
    assert "[red]x^[[31m" in text
    assert "\x1b" not in text
    assert "1,200" in text


def test_names_keep_their_room_on_a_narrow_terminal() -> None:
    screen = io.StringIO()
    Console(file=screen, width=40).print(top_picture([LIST], 60, "", width_characters=40))
    assert "shop/web-1" in screen.getvalue()
    assert "1,200" in screen.getvalue()


def test_terminal_that_cannot_move_its_cursor_gets_text_once(
    plain_environment: dict[str, str],
) -> None:
    answer = SummarizeResponse(groups=[SummaryGroup(values=["shop/web-1", "FORWARDED"])])
    controller, terminal = pty.openpty()
    with FakeObserver(summary=answer) as server:
        done = subprocess.run(
            [sys.executable, "-m", "palomar", "top", "--server", server.target],
            stdout=terminal,
            env=plain_environment | {"TERM": "dumb"},
            check=False,
            timeout=60,
        )
    os.close(terminal)
    seen = os.read(controller, 65536)
    os.close(controller)
    assert done.returncode == 0
    assert b"shop/web-1" in seen
    assert b"\x1b" not in seen


def test_empty_lists_say_so() -> None:
    screen = io.StringIO()
    Console(file=screen, width=100).print(top_picture([TopList(title="pod")], 60, ""))
    assert "no flow matches in the last 60 s" in screen.getvalue()


def test_terminal_is_drawn_on_until_interrupted(plain_environment: dict[str, str]) -> None:
    answer = SummarizeResponse()
    group = SummaryGroup(values=["shop/web-1", "FORWARDED"])
    group.totals.flows = 60
    answer.groups.append(group)
    controller, terminal = pty.openpty()
    with FakeObserver(summary=answer) as server:
        command = [sys.executable, "-m", "palomar", "top", "--interval", "50ms"]
        environment = plain_environment | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        with subprocess.Popen(
            [*command, "--server", server.target], stdout=terminal, env=environment
        ) as process:
            os.close(terminal)
            seen = b""
            while len(server.other_requests) < 12 or b"shop/web-1" not in seen:
                seen += os.read(controller, 4096)
            process.send_signal(signal.SIGINT)
            with suppress(OSError):  # the terminal's other end is closed
                while more := os.read(controller, 4096):
                    seen += more
            assert process.wait(20) == 0
    os.close(controller)
    assert b"shop/web-1" in seen
    # The screen that was there before comes back.
    assert b"\x1b[?1049l" in seen
