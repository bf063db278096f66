"""Databases for the catalogue: a SQLite file, and a PostgreSQL server that runs for these tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from palomar_server.catalogue.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PASSWORD = "p@ss/w:rd%"  # noqa: S105 -- of a server that lives for a few seconds
"""With all that an address has to quote."""
_NUMBERS = count(1)


@dataclass(frozen=True)
class Postgres:
    """A server of this machine, reached by a socket in its own directory."""

    directory: Path
    programs: Path
    user: str

    def run(self, program: str, *arguments: str) -> None:
        # A file and not a pipe, which the server would keep open.
        with (self.directory / "out").open("w") as out:
            result = subprocess.run(
                [self.programs / program, *arguments],
                user=self.user if os.geteuid() == 0 else None,
                env={**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        assert result.returncode == 0, (self.directory / "out").read_text()

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"palomar{next(_NUMBERS)}"
        self.run("createdb", "--host", str(self.directory), "--username", "palomar", name)
        return self.url(name)

    def url(self, database: str, password: str = PASSWORD) -> str:
        return (
            f"postgresql+asyncpg://palomar:{quote(password, safe='')}@/{database}"
            f"?host={self.directory}"
        )


def _programs() -> Path | None:
    """Where the server's programs are: Debian has them outside the search path."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return places[-1] if places else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    programs = _programs()
    if programs is None:
        text = "no PostgreSQL here: the package postgresql has its programs"
        if os.environ.get("PALOMAR_REQUIRE_LIVE") == "1":
            pytest.fail(text)
        pytest.skip(text)
    # The server refuses to run as root, and pytest's own directories are closed to all others.
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="palomar-pg-") as name:
        directory = Path(name)
        (directory / "password").write_text(PASSWORD)
        (directory / "out").touch()
        if os.geteuid() == 0:
            for path in (directory, directory / "password"):
                shutil.chown(path, user)
        server = Postgres(directory, programs, user)
        data = str(directory / "data")
        server.run(
            *("initdb", "--pgdata", data, "--username", "palomar", "--no-sync"),
            *("--auth", "scram-sha-256", "--pwfile", str(directory / "password")),
            *("--encoding", "UTF8", "--no-locale"),
        )
        options = f"-k {directory} -c listen_addresses= -c fsync=off -c shared_buffers=16MB"
        log = str(directory / "log")
        server.run("pg_ctl", "--pgdata", data, "--log", log, "--wait", "-o", options, "start")
        try:
            yield server
        finally:
            server.run("pg_ctl", "--pgdata", data, "--mode", "immediate", "--wait", "stop")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/state/palomar.db"


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def catalogue(url: str) -> AsyncIterator[Catalogue]:
    catalogue = Catalogue(url)
    yield catalogue
    await catalogue.close()
