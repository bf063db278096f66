"""Addresses of databases: what is allowed, and how one is shown without its password.

Knows nothing of the libraries that open them: settings are checked by a daemon that may never need
one.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote

SQLITE = "sqlite+aiosqlite"
POSTGRESQL = "postgresql+asyncpg"

_SQLITE = re.compile(rf"{re.escape(SQLITE)}:///(?P<path>/[^%?\0]+)")
_POSTGRESQL = re.compile(
    rf"{re.escape(POSTGRESQL)}://"
    r"((?P<user>[^:@/?#\s]+)(:(?P<password>[^@/?#\s]*))?@)?"
    r"(?P<host>[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
    r"/(?P<name>[^/?#\s]+)(\?(?P<query>[^#\s]*))?"
)
_PASSWORD = re.compile(r"(?<=://)([^:@/]*):.*@")
_PORT_MAX = 65_535
_SQLITE_FORM = f"{SQLITE}:///PATH"
_POSTGRESQL_FORM = f"{POSTGRESQL}://USER:PASSWORD@HOST/NAME"


def check_database_url(url: str) -> str:
    """The address, if it is one of a database that is supported.

    Raises:
        ValueError: it is not. The text says what is allowed, and has nothing of the address, whose
            password may stand anywhere in one that is wrong.
    """
    if url.startswith(f"{SQLITE}:"):
        match = _SQLITE.fullmatch(url)
        if match is None or match["path"].endswith("/"):
            raise ValueError(
                f"must be {_SQLITE_FORM} with an absolute path, which makes four slashes, of a "
                "file; % and ? cannot be part of it"
            )
        return url
    if not url.startswith(f"{POSTGRESQL}:"):
        raise ValueError(f"must be {_SQLITE_FORM} or {_POSTGRESQL_FORM}")
    match = _POSTGRESQL.fullmatch(url)
    if match is None or int(match["port"] or 1) not in range(1, _PORT_MAX + 1):
        raise ValueError(
            f"must be {_POSTGRESQL_FORM}; in user and password, write %40 for @, %3A for :, "
            "%2F for /, %3F for ?, %23 for # and %25 for %"
        )
    if "password" in dict(parse_qsl(match["query"] or "", keep_blank_values=True)):
        raise ValueError(f"must have its password before the @: {_POSTGRESQL_FORM}")
    return url


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite database; None for other databases."""
    match = _SQLITE.fullmatch(url)
    return Path(match["path"]) if match else None


def without_password(url: str) -> str:
    """The address with *** for its password, for people."""
    return _PASSWORD.sub(r"\1:***@", url)


def scrubbed(text: str, url: str) -> str:
    """A text, such as an error's, with *** wherever the address's password stands in it."""
    match = _POSTGRESQL.fullmatch(url)
    password = match["password"] if match else None
    for secret in {password, unquote(password)} if password else ():
        text = text.replace(secret, "***")
    return text
