from click.testing import CliRunner

from palomar.cli import cli
from palomar.version import __version__


def test_version_of_tool_and_api() -> None:
    ended = CliRunner().invoke(cli, ["version"])
    assert ended.stdout == f"palomar {__version__} (Hubble API 1.19)\n"
