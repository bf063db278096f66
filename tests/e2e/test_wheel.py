"""The wheel as users get it: the thin client installs and works without the daemon's packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAEMON_ONLY = (
    *("numpy", "bcc", "aiohttp", "sqlalchemy", "alembic", "asyncpg", "aiosqlite"),
    *("pyroute2", "pydantic", "structlog"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("palomar-*.whl"))


def required(distribution: str) -> set[str]:
    """The distribution and everything it needs without extras."""
    found = {distribution}
    for requirement in metadata.requires(distribution) or ():
        if "extra ==" not in requirement and "python_version <" not in requirement:
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            assert match is not None
            found |= required(match[0])
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that sees the wheel and the packages it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("thin")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    interpreter = folder / "bin" / "python"
    install = (
        "-m",
        "pip",
        "--python",
        interpreter,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    )
    subprocess.run([sys.executable, *install, wheel], check=True, capture_output=True)
    site = Path(
        sysconfig.get_path("purelib", "venv", vars={"base": str(folder), "platbase": str(folder)})
    )
    for distribution in required("palomar") - {"palomar"}:
        for file in metadata.files(distribution) or ():
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not (site / top).exists():
                (site / top).symlink_to(
                    Path(str(metadata.distribution(distribution).locate_file(top)))
                )
    return interpreter


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-I", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_thin_client_needs_none_of_the_packages_of_the_daemon(python: Path) -> None:
    missing = f"all(find_spec(name) is None for name in {DAEMON_ONLY})"
    done = run(python, "-c", f"from importlib.util import find_spec; assert {missing}")
    assert done.returncode == 0, done.stderr
    done = run(python, "-c", "import palomar; palomar.Client('unix:/nowhere').close()")
    assert done.returncode == 0, done.stderr


def test_thin_command_line_works(python: Path) -> None:
    done = run(python, "-m", "palomar", "version")
    assert done.returncode == 0, done.stderr
    assert metadata.version("palomar") in done.stdout
    absent = run(python, "-m", "palomar", "status", "--server", "unix:/nowhere/palomar.sock")
    assert absent.returncode == 1
    assert len(absent.stderr.splitlines()) == 1


def script(python: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the wheel installed it."""
    return subprocess.run(
        [python.with_name(name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )


def test_command_palomar_works(python: Path) -> None:
    done = script(python, "palomar", "version")
    assert done.returncode == 0, done.stderr
    assert metadata.version("palomar") in done.stdout


def test_command_palomard_says_what_it_needs(python: Path) -> None:
    for done in (script(python, "palomard"), run(python, "-m", "palomar_server")):
        assert done.returncode == 1
        assert done.stderr == (
            "palomard needs the daemon's packages: pip install 'palomar[server]'\n"
        )


def test_wheel_carries_stubs_types_programs_migrations_and_sample(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "palomar/py.typed",
        "palomar_proto/observer/observer_pb2.pyi",
        "palomar_proto/flow/flow.proto",
        "palomar_bpf/programs/trace.c",
        "palomar_bpf/programs/record.c",
        "palomar_bpf/programs/rules.h",
        "palomar_bpf/programs/LICENSE.GPL-2.0",
        "palomar_recorder/py.typed",
        "palomar_server/catalogue/migrations/env.py",
        "palomar_server/catalogue/migrations/versions/first_recordings.py",
        "palomar_server/samples/demo.events",
    } <= names
