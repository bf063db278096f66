from click.testing import CliRunner

from palomar.cli import cli
from palomar.version import HUBBLE_VERSION, __version__


def test_version_of_tool_and_api() -> None:
    ended = CliRunner().invoke(cli, ["version"])
    assert ended.stdout == f"palomar {__version__} (Hubble API 1.19)\n"


def test_strict_line_has_hubbles_form() -> None:
    ended = CliRunner().invoke(cli, ["version"], env={"PALOMAR_STRICT_HUBBLE": "1"})
    name, version, *_, compiler, on, platform = ended.stdout.split()
    assert (name, version) == ("palomar", f"v{HUBBLE_VERSION}@palomar-{__version__}")
    assert compiler.startswith("python3.")
    assert on == "on"
    assert platform.startswith("linux/")
