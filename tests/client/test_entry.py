import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A tool in the place of palomar.cli: `main` is what the test gives.
PROGRAM = """
import sys, types
tool = types.ModuleType("palomar.cli")
exec({tool!r}, tool.__dict__)
sys.modules["palomar.cli"] = tool
from palomar.entry import main
main()
"""


def run(tool: str, **options: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(tool=tool)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,  # type: ignore[call-overload]
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("end", "code", "error"),
    [
        ("pass", 0, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no such thing')", 1, "no such thing\n"),
        ("raise KeyboardInterrupt", 0, ""),
    ],
)
def test_what_was_printed_is_out_and_the_code_is_kept(end: str, code: int, error: str) -> None:
    tool = f"def main():\n    print('x' * 100_000)\n    {end}\n"
    assert run(tool) == (code, "x" * 100_000 + "\n", error)


@pytest.mark.parametrize(
    ("redirection", "expected"),
    [("1>&-", "{1}"), ("1>/dev/null", "set()"), ("0<&- 1>&-", "{0, 1}")],
)
def test_what_was_closed_is_known(redirection: str, expected: str) -> None:
    tool = """
def main():
    import sys
    from palomar.output import CLOSED
    print(CLOSED, file=sys.stderr)
"""
    program = shlex.join([sys.executable, "-c", PROGRAM.format(tool=tool)])
    done = subprocess.run(
        ["bash", "-c", f"{program} {redirection}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, f"{expected}\n")


def test_a_defect_shows_itself() -> None:
    code, out, error = run("def main():\n    print('before')\n    raise ValueError('defect')\n")
    assert (code, out) == (1, "before\n")
    assert error.startswith("Traceback ")
    assert error.endswith("ValueError: defect\n")


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_does_not_become_a_file(closed: str) -> None:
    tool = """
def main():
    import os, sys
    print("out")
    print("error", file=sys.stderr)
    raise SystemExit(os.dup(1) < 3)
"""
    program = shlex.join([sys.executable, "-c", PROGRAM.format(tool=tool)])
    done = subprocess.run(
        ["bash", "-c", f"{program} {closed}"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout in {b"", b"out\n"}
    assert done.stderr in {b"", b"error\n"}


KILL = f"__import__('os').kill(__import__('os').getpid(), {signal.SIGINT:d})"


@pytest.mark.parametrize(
    "tool",
    [
        f"{KILL}\n",
        # Python 3.11 makes a RuntimeError of what is raised here.
        f"type('Made', (), {{'a': type('Late', (), {{'__set_name__': lambda *_: {KILL}}})()}})",
    ],
)
def test_ctrl_c_while_loading_is_silent(tool: str) -> None:
    # Loaded as a module, so that the signal comes within the import.
    program = f"""
import sys, importlib.abc, importlib.util
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name == "palomar.cli":
            return importlib.util.spec_from_loader(name, self)
    def exec_module(self, module):
        exec({tool!r})
sys.meta_path.insert(0, Finder())
from palomar.entry import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_output_that_nobody_reads_ends_silently(plain_environment: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    program = PROGRAM.format(tool="def main():\n    print('lost')\n    raise SystemExit(1)\n")
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=write,
            stderr=subprocess.PIPE,
            env=plain_environment,
            check=False,
            timeout=60,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_installed_script_starts_here() -> None:
    script = Path(sys.executable).with_name("palomar").read_text()
    assert "from palomar.entry import main" in script
