"""URLs as Go's net/url reads and writes them: access logs carry them as text.

Works on bytes; a str stands for them here, a character a byte (Latin-1), so that percent-encoding
and what is no UTF-8 need no care until the end. Rules: RFC 3986 as far as net/url follows it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

_ALPHANUMERIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_UNRESERVED = _ALPHANUMERIC | frozenset("-_.~")
_RESERVED = frozenset("$&+,/:;=?@")
# What stays as it is in each part.
_PATH = _UNRESERVED | _RESERVED - {"?"}
_USER = _UNRESERVED | _RESERVED - frozenset("@/?:")
_FRAGMENT = _UNRESERVED | _RESERVED | frozenset("!()*")
_HOST = _UNRESERVED | frozenset("!$&'()*+,;=:[]<>\"")
# What a part may have been written with instead.
_PATH_AS_WRITTEN = _PATH | frozenset("!$&'()*+,;=:@[]%")
_FRAGMENT_AS_WRITTEN = _FRAGMENT | frozenset("!$&'()*+,;=:@[]%")
_USER_AS_WRITTEN = _ALPHANUMERIC | frozenset("-._:~!$&'()*+,;=%@")
_ZONE_ESCAPED = _HOST | {" "}

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PORT = re.compile(r"(:[0-9]*)?")
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})?")
_ASCII_END = 0x80


class UrlError(ValueError):
    """A text is no URL; says why."""


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in parts, each as it was written or as it is to be written."""

    scheme: str = ""
    opaque: str = ""
    """All behind the scheme, if no slash follows it."""
    user: str | None = None
    """Not encoded; None without user information."""
    password: str | None = None
    host: str = ""
    """With the port; not encoded."""
    without_authority: bool = False
    """A path follows the scheme directly, as in `file:/etc`."""
    path: str = ""
    """Encoded."""
    query: str = ""
    """Encoded."""
    has_query: bool = False
    """There is a question mark, though the query may be empty."""
    fragment: str = ""
    """Encoded."""

    def redacted(self, *, password: str | None, query: bool) -> Url:
        """A copy that tells less.

        Args:
            password: what to put in place of a password; None leaves it.
            query: leave out query and fragment.
        """
        url = self
        if password is not None and url.password is not None:
            url = replace(url, password=password)
        if query:
            # A bare question mark tells nothing, and stays, as with Hubble.
            url = replace(url, query="", has_query=url.has_query and not url.query, fragment="")
        return url

    def __str__(self) -> str:
        text = f"{self.scheme}:" if self.scheme else ""
        text += self.opaque or self._hierarchy(first=not text)
        if self.has_query:
            text += f"?{self.query}"
        if self.fragment:
            text += f"#{self.fragment}"
        return text.encode("latin-1").decode(errors="replace")

    def _hierarchy(self, *, first: bool) -> str:
        text = ""
        has_authority = bool(self.host) or self.user is not None
        if has_authority or (self.scheme and self.path and not self.without_authority):
            text = "//"
        if self.user is not None:
            secret = "" if self.password is None else f":{_escape(self.password, _USER)}"
            text += f"{_escape(self.user, _USER)}{secret}@"
        text += _escape(self.host, _HOST)
        path = self.path
        if not has_authority and self.without_authority and path.startswith("//"):
            # Else what is behind would look like an authority.
            path = f"%2F{path[1:]}"
        if path and path[0] != "/" and self.host:
            text += "/"
        if first and not text and ":" in path.partition("/")[0]:
            # Else what is before the colon would look like a scheme.
            text = "./"
        return text + path


def parse_url(data: bytes) -> Url:
    """Take a URL apart.

    Raises:
        UrlError: net/url would not take it.
    """
    text, _, fragment = data.decode("latin-1").partition("#")
    if _CONTROL.search(text):
        raise UrlError("invalid control character in URL")
    url = _parse(text)
    return replace(url, fragment=_as_written(fragment, _FRAGMENT, _FRAGMENT_AS_WRITTEN))


def request_path(data: bytes) -> bytes | None:
    """The path of what a request line asks for, decoded; None if it is not even that.

    Unlike in `parse_url` a `#` begins nothing, and what is neither absolute nor a path is refused.
    A URL with something other than a slash behind its scheme has an empty path.
    """
    text = data.decode("latin-1")
    if not text or _CONTROL.search(text):
        return None
    try:
        url = _parse(text, as_request=True)
        return _unescape(url.path).encode("latin-1")
    except UrlError:
        return None


def _parse(text: str, *, as_request: bool = False) -> Url:
    if text == "*":
        return Url(path=text)
    scheme = ""
    if text.startswith(":"):
        raise UrlError("missing protocol scheme")
    if found := _SCHEME.fullmatch(text):
        scheme, text = found[1].lower(), found[2]
    rest, mark, query = text.partition("?")
    url = Url(scheme=scheme, query=query, has_query=bool(mark))
    if not rest.startswith("/"):
        if scheme:
            # A lone opaque part may be empty, and is then nothing.
            return replace(url, opaque=rest)
        if as_request:
            raise UrlError("invalid URI for request")
        if ":" in rest.partition("/")[0]:
            raise UrlError("first path segment in URL cannot contain colon")
    elif rest.startswith("//") and (scheme or not (as_request or rest.startswith("///"))):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        user, password, host = _authority(authority)
        url = replace(url, user=user, password=password, host=host)
    elif scheme:
        url = replace(url, without_authority=True)
    return replace(url, path=_as_written(rest, _PATH, _PATH_AS_WRITTEN))


def _authority(authority: str) -> tuple[str | None, str | None, str]:
    information, at, host = authority.rpartition("@")
    host = _host(host)
    if not at:
        return None, None, host
    if not _USER_AS_WRITTEN.issuperset(information):
        raise UrlError("invalid userinfo")
    user, colon, password = information.partition(":")
    return _unescape(user), _unescape(password) if colon else None, host


def _host(host: str) -> str:
    start = host.rfind("[")
    if start < 0:
        port = host.rfind(":")
        if port >= 0 and not _PORT.fullmatch(host[port:]):
            raise UrlError("invalid port after host")
        return _unescape_host(host)
    end = host.rfind("]")
    if start > 0 or end < 0:
        raise UrlError("missing bracket in host")
    if not _PORT.fullmatch(host[end + 1 :]):
        raise UrlError("invalid port after host")
    # Within brackets is an IPv6 address; RFC 6874 has the percent sign of its zone encoded.
    address, percent, zone = host[1:end].partition("%25")
    address = _unescape_host(address) + _unescape_host(percent + zone, zone=True)
    try:
        ipaddress.IPv6Address(address)
    except ValueError as error:
        raise UrlError("invalid host") from error
    return f"[{address}]{host[end + 1 :]}"


def _unescape_host(text: str, *, zone: bool = False) -> str:
    """Decode a host, or the zone of one.

    In a host only the percent sign and what is not ASCII may be encoded; in a zone what could stand
    for itself too, and spaces, which some systems have there.
    """
    for character in _ESCAPE.sub("", text):
        if ord(character) < _ASCII_END and character not in _HOST:
            raise UrlError("invalid character in host name")
    for found in _ESCAPE.finditer(text):
        character = chr(int(found[1] or "00", 16))
        may = character in _ZONE_ESCAPED if zone else ord(character) >= _ASCII_END
        if character != "%" and not may:
            raise UrlError("invalid URL escape in host")
    return _unescape(text)


def _as_written(text: str, plain: frozenset[str], as_written: frozenset[str]) -> str:
    """An encoded part: as it was written if that is allowed, else encoded anew."""
    decoded = _unescape(text)
    return text if as_written.issuperset(text) else _escape(decoded, plain)


def _escape(text: str, plain: frozenset[str]) -> str:
    if plain.issuperset(text):
        return text
    return "".join(
        character if character in plain else f"%{ord(character):02X}" for character in text
    )


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    return _ESCAPE.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    if found[1] is None:
        raise UrlError("invalid URL escape")
    return chr(int(found[1], 16))
