from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from palomar_server.catalogue.database_url import (
    check_database_url,
    scrubbed,
    sqlite_path,
    without_password,
)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:////var/lib/palomar/palomar.db",
        "sqlite+aiosqlite:////data/a b#c.db",
        "postgresql+asyncpg://host/name",
        "postgresql+asyncpg://user@host:5432/name",
        "postgresql+asyncpg://user:pass%40word@[::1]:5432/name?ssl=require",
        "postgresql+asyncpg://user:a:b@10.0.0.1/name",
        "postgresql+asyncpg:///name?host=/run/postgresql",
    ],
)
def test_supported_databases_are_accepted(url: str) -> None:
    assert check_database_url(url) == url


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "must be sqlite.* or postgresql"),
        ("sqlite:////var/lib/palomar.db", "must be sqlite.* or postgresql"),
        ("postgresql://user:secret@host/name", "must be sqlite.* or postgresql"),
        ("sqlite+aiosqlite://", "absolute path"),
        ("sqlite+aiosqlite:///", "absolute path"),
        ("sqlite+aiosqlite:////", "absolute path"),
        ("sqlite+aiosqlite:////directory/", "absolute path"),
        ("sqlite+aiosqlite:///relative.db", "absolute path"),
        ("sqlite+aiosqlite:///:memory:", "absolute path"),
        ("sqlite+aiosqlite:////palomar.db?mode=ro", "cannot be part"),
        ("sqlite+aiosqlite:////a%20b.db", "cannot be part"),
        ("sqlite+aiosqlite:////a\0.db", "absolute path"),
        ("postgresql+asyncpg://host", "USER:PASSWORD@HOST/NAME"),
        ("postgresql+asyncpg://host/", "USER:PASSWORD@HOST/NAME"),
        ("postgresql+asyncpg://host:0/name", "USER:PASSWORD@HOST/NAME"),
        ("postgresql+asyncpg://host:65536/name", "USER:PASSWORD@HOST/NAME"),
        ("postgresql+asyncpg://user:sec@ret@host/name", "write %40 for @"),
        ("postgresql+asyncpg://user:sec/ret@host/name", "%2F for /"),
        ("postgresql+asyncpg://user:sec#ret@host/name", "%23 for #"),
        ("postgresql+asyncpg://user:sec ret@host/name", "USER:PASSWORD@HOST/NAME"),
        ("postgresql+asyncpg://user@host/name?password=secret", "before the @"),
        ("postgresql+asyncpg://user@host/name?pass%77ord=secret", "before the @"),
        ("postgresql+asyncpg://user@host/name?password=", "before the @"),
    ],
)
def test_others_are_refused_without_repeating_them(url: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as caught:
        check_database_url(url)
    assert "sec" not in str(caught.value)


def test_only_sqlite_has_a_file() -> None:
    assert sqlite_path("sqlite+aiosqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_path("postgresql+asyncpg://host/a/b.db") is None


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_password_is_read_as_it_is_meant_and_never_shown(password: str) -> None:
    # Each distinct from all that stands around it.
    secret = f"<{password}>"
    url = f"postgresql+asyncpg://user:{quote(secret, safe='')}@host/name?ssl=require"
    assert check_database_url(url) == url
    assert make_url(url).password == secret
    shown = "postgresql+asyncpg://user:***@host/name?ssl=require"
    assert without_password(url) == shown
    assert scrubbed(f"cannot use {secret} of {url}", url) == f"cannot use *** of {shown}"


@pytest.mark.parametrize(
    "url", ["sqlite+aiosqlite:////a@b:c", "postgresql+asyncpg://user@host:1/name"]
)
def test_without_a_password_nothing_is_hidden(url: str) -> None:
    assert without_password(url) == url
    assert scrubbed("user name host", url) == "user name host"
