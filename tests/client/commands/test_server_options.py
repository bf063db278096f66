import pytest
from click.testing import CliRunner

from palomar.cli import cli
from palomar.testing import FakeObserver, make_response


def test_environment_names_the_server() -> None:
    with FakeObserver([make_response()]) as server:
        ended = CliRunner().invoke(cli, ["observe"], env={"PALOMAR_SERVER": server.target})
    assert ended.exit_code == 0


@pytest.mark.parametrize("text", ["5", "0s", "-1s", "soon"])
def test_timeout_is_a_positive_duration(text: str) -> None:
    ended = CliRunner().invoke(cli, ["status", "--timeout", text])
    assert ended.exit_code == 2
    assert "is not a duration" in ended.stderr
