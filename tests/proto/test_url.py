from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.url import UrlError, parse_url, request_path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "/",
        "/a?b=c&d=e#g",
        "http://cart.shop",
        "http://cart.shop/a%20b/%2F?q=%3D",
        "http://user@cart.shop/p",
        "http://user:secret@cart.shop/p?token=abc#f",
        "http://[fd00::b]:8080/",
        "http://[fe80::1%25eth0]/",
        "http://h/?",
        "http://h/??",
        "http://h/[x]!$&'()*+,;=:@",
        "http://h:/",
        "http:///path",
        "//host/path",
        "///path",
        "file:/etc",
        "cart.shop:443",
        "mailto:a@b?subject=x",
        "a/b:c",
        "http://h/#%20()!*",
    ],
)
def test_urls_come_back_as_they_were(text: str) -> None:
    assert str(parse_url(text.encode())) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("HTTP://Host/", "http://Host/"),
        ("http://h/a b", "http://h/a%20b"),
        ('http://h/"<>', "http://h/%22%3C%3E"),
        ("http://h/ü", "http://h/%C3%BC"),
        ("http://%C3%BC/", "http://%C3%BC/"),
        ("http://ü/", "http://%C3%BC/"),
        ("http://u%3Ax:p%40@h/", "http://u%3Ax:p%40@h/"),
        ("http://u%41@h/", "http://uA@h/"),
        ("http://u!@h/", "http://u%21@h/"),
        ("http://h/#a b#c", "http://h/#a%20b%23c"),
        ("http://h?a=ü", "http://h?a=ü"),
        ("http:", "http:"),
        ("file:/%2F@h", "file:/%2F@h"),
        ("file:/%2F@ü", "file:%2F/@%C3%BC"),
    ],
)
def test_some_are_written_anew(text: str, written: str) -> None:
    assert str(parse_url(text.encode())) == written


@pytest.mark.parametrize(
    "text",
    [
        ":",
        "://h",
        "1http://h",
        "/a\n",
        "a^:b",
        "http://h/\x7f",
        "http://h/%",
        "http://h/%4",
        "http://h/%zz",
        "http://h/#%",
        "http://h:port/",
        "http://h:1x/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[192.0.2.1]/",
        "http://a[::1]/",
        "http://h^/",
        "http://%41/",
        "http://u%@h/",
        "http://u^@h/",
        "http://[fe80::1%25%01]/",
    ],
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(UrlError):
        parse_url(text.encode())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p@h/?q#f", "http://u:X@h/?q#f"),
        ("http://u:@h/", "http://u:X@h/"),
        ("http://u@h/", "http://u@h/"),
        ("http://h/", "http://h/"),
    ],
)
def test_passwords_are_replaced(text: str, shown: str) -> None:
    assert str(parse_url(text.encode()).redacted(password="X", query=False)) == shown  # noqa: S106


def test_queries_are_left_out() -> None:
    url = parse_url(b"http://u:p@h/a?q=1#f").redacted(password=None, query=True)
    assert str(url) == "http://u:p@h/a"
    # Nothing is in it to be hidden.
    assert str(parse_url(b"/?").redacted(password=None, query=True)) == "/?"


@given(st.binary(max_size=60))
def test_any_bytes_are_a_url_or_not(data: bytes) -> None:
    try:
        url = parse_url(data)
    except UrlError:
        return
    str(url).encode()


@given(st.from_regex(r"[a-z:/?#@ ^0-9A-F]{0,40}", fullmatch=True))
def test_what_was_written_is_read_alike(text: str) -> None:
    try:
        written = str(parse_url(text.encode()))
    except UrlError:
        return
    assert str(parse_url(written.encode())) == written


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/a%2Fb?c#d", b"/a/b"),
        ("/a#b", b"/a#b"),
        ("http://h/x", b"/x"),
        ("http://h?q", b""),
        ("http:opaque", b""),
        ("//h/x", b"//h/x"),
        ("///x", b"///x"),
        ("*", b"*"),
        ("", None),
        ("x", None),
        ("#x", None),
        ("?x", None),
        (":x", None),
        ("/%4", None),
        ("/\n", None),
        ("http://h:x/", None),
    ],
)
def test_path_of_a_request_is_decoded(text: str, path: bytes | None) -> None:
    assert request_path(text.encode()) == path


@given(st.binary())
def test_any_bytes_have_a_path_or_none(data: bytes) -> None:
    assert request_path(data) is None or isinstance(request_path(data), bytes)
