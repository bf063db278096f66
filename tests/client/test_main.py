import subprocess
import sys


def test_module_is_the_tool(plain_environment: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "palomar", "version"],
        env=plain_environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ended.stdout.startswith("palomar ")
