import io

import pytest

from palomar.output import Output, standard_output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_is_held_until_there_is_enough_of_it() -> None:
    stream = io.StringIO()
    output = Output(stream, prompt=False)
    output.write("a")
    assert stream.getvalue() == ""
    output.write("b" * 40_000)
    assert stream.getvalue() == "a" + "b" * 40_000


def test_flush_writes_what_is_held() -> None:
    stream = io.StringIO()
    output = Output(stream, prompt=False)
    output.write("a")
    output.flush()
    output.flush()
    assert stream.getvalue() == "a"


@pytest.mark.parametrize(
    ("stream", "prompt"), [(io.StringIO(), True), (Terminal(), False)], ids=["follow", "terminal"]
)
def test_text_is_written_at_once_where_somebody_waits(stream: io.StringIO, *, prompt: bool) -> None:
    Output(stream, prompt=prompt).write("a\n")
    assert stream.getvalue() == "a\n"


def test_characters_that_the_locale_lacks_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output = standard_output()
    output.write("é")
    output.flush()
    assert raw.getvalue() == b"\\xe9"
