"""Types of settings that need more than a range: what they accept, and the error if it is not.

In: values from a file, the environment or a flag. Out: checked values; a ValueError says what is
allowed, and `settings` adds the name and where the value came from.
"""

import fnmatch
import ipaddress
import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from palomar_server.catalogue.database_url import check_database_url

RING_CAPACITY_MAX = 65_535
_SOCKET_PATH_BYTES_MAX = 107
"""sun_path of unix(7), without its terminating zero."""
_PORT_MAX = 65_535
_MODE_MAX = 0o777
_PAGES_MAX = 1 << 14
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_REASON = re.compile(r"[A-Z][A-Z0-9_]*")
_REASON_PREFIX = re.compile("^SKB_(DROP_REASON_)?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110 section 5.1: a field name is a token."""
_HOOK = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def _split(value: Any) -> Any:
    """Text to a tuple at its commas: also each item of a list, as repeated flags give it."""
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return value
    return tuple(part for item in value for part in map(str.strip, item.split(",")) if part)


def _check_socket_path(value: Path) -> Path:
    if not value.name or "\0" in value.name:
        raise ValueError("must be the path of a socket, such as /run/palomar/palomar.sock")
    if len(os.fsencode(value)) > _SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"is too long for a socket: at most {_SOCKET_PATH_BYTES_MAX} bytes")
    return value


def _check_address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:4244 or [::1]:4244")
    if host == "localhost":
        return value
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if is_bracketed else host)
    except ValueError:
        raise ValueError(f"{host!r} must be a numeric address ([…] around IPv6)") from None
    if is_bracketed != (address.version == 6):  # noqa: PLR2004 -- the version of IP
        raise ValueError("an IPv6 address, and no other, stands in brackets, as in [::1]:4244")
    return value


def _check_listen(value: str) -> str:
    host = _check_address(value).rpartition(":")[0].strip("[]")
    if host != "localhost" and not (address := ipaddress.ip_address(host)).is_loopback:
        raise ValueError(
            f"{address} is no loopback address, and there is no TLS yet to protect others: use "
            "127.0.0.1, [::1] or the socket, and reach them from elsewhere through ssh"
        )
    return value


def _check_entry_points(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) > 1 and not {"all", "none"}.isdisjoint(value):
        raise ValueError("must be all, none, or names of entry points, such as acme-drops")
    return value


def _check_ring_capacity(value: int) -> int:
    if 1 <= value <= RING_CAPACITY_MAX and (value + 1) & value == 0:
        return value
    clamped = min(max(value, 1), RING_CAPACITY_MAX)
    below = (1 << (clamped + 1).bit_length() - 1) - 1
    nearest = sorted({below, min(2 * below + 1, RING_CAPACITY_MAX)})
    raise ValueError(
        "must be one less than a power of two, 1 to 65,535; the nearest valid "
        + (f"are {nearest[0]} and {nearest[1]}" if clamped == value else f"is {clamped}")
    )


def _check_pages(value: int) -> int:
    if not 1 <= value <= _PAGES_MAX or value & (value - 1):
        raise ValueError(f"must be a power of two, 1 to {_PAGES_MAX:,}")
    return value


def _parse_mode(value: Any) -> int:
    """A file mode; text is octal with or without its prefix, as chmod(1) reads it."""
    allowed = 'must be an octal mode from "0" to "0777", in quotes if it is in a file'
    if isinstance(value, str):
        try:
            value = int(value, 8)
        except ValueError:
            raise ValueError(allowed) from None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MODE_MAX:
        raise ValueError(allowed)
    return value


def _parse_speed(value: Any) -> Any:
    if value in ("recorded", "max"):
        return value
    try:
        events_per_s = float(value.removesuffix("/s") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        events_per_s = math.nan
    if isinstance(value, bool) or not 0 < events_per_s < math.inf:
        raise ValueError('must be "recorded", "max", or events per second, such as 1000/s')
    return events_per_s


def _check_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 253 letters, digits, and - _ . between them")
    return value


def _check_glob(value: str) -> str:
    try:
        re.compile(fnmatch.translate(value))
    except re.error as error:
        raise ValueError(f"is no shell pattern: {error}") from None
    return value


def _check_reason(value: str) -> str:
    name = _REASON_PREFIX.sub("", value.upper())
    if not _REASON.fullmatch(name):
        raise ValueError("must be the name of a kernel drop reason, such as NETFILTER_DROP")
    return name


def _check_label(value: str) -> str:
    key, equals, _ = value.partition("=")
    if not equals or not key.strip():
        raise ValueError("must be KEY=VALUE, such as kubernetes.io/arch=amd64")
    return value


def _check_header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError("must be the name of an HTTP header, such as X-Api-Key")
    return value.lower()


def _check_hook(value: str) -> str:
    if not _HOOK.fullmatch(value):
        raise ValueError("must be MODULE:OBJECT, such as my_company.audit:hooks")
    return value


SocketPath: TypeAlias = Annotated[Path, AfterValidator(_check_socket_path)]
"""Path of a unix socket."""
AnyAddress: TypeAlias = Annotated[str, AfterValidator(_check_address)]
"""HOST:PORT on any address; port 0 leaves the choice to the kernel."""
ListenAddress: TypeAlias = Annotated[str, AfterValidator(_check_listen)]
"""HOST:PORT on a loopback address; port 0 leaves the choice to the kernel."""
RingCapacity: TypeAlias = Annotated[int, AfterValidator(_check_ring_capacity)]
"""2^i - 1, i from 1 to 16."""
Pages: TypeAlias = Annotated[int, AfterValidator(_check_pages)]
"""A power of two of memory pages."""
FileMode: TypeAlias = Annotated[int, BeforeValidator(_parse_mode)]
"""Permission bits; text is octal."""
Speed: TypeAlias = Annotated[Literal["recorded", "max"] | float, BeforeValidator(_parse_speed)]
"""Pace of a replay; a number is events per second."""
Name: TypeAlias = Annotated[str, AfterValidator(_check_name)]
"""A name of a node, cluster or namespace: no slash, which separates them."""
TcpFlag: TypeAlias = Literal["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"]

Globs: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_glob)], ...], BeforeValidator(_split)
]
"""Shell patterns."""
EntryPointNames: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_entry_points)
]
"""Names of entry points, or the one word all or none."""
DropReasons: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_reason)], ...], BeforeValidator(_split)
]
"""Kernel drop reasons, without the prefix that all of them have."""
TcpFlags: TypeAlias = Annotated[tuple[TcpFlag, ...], BeforeValidator(_split)]
Labels: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_label)], ...], BeforeValidator(_split)
]
"""KEY=VALUE each."""
HeaderNames: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_header)], ...], BeforeValidator(_split)
]
"""Names of HTTP headers, in lower case."""
HookNames: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_check_hook)], ...], BeforeValidator(_split)
]
"""MODULE:OBJECT each."""
DatabaseUrl: TypeAlias = Annotated[str, AfterValidator(check_database_url), Field(repr=False)]
"""Of a database that is supported, with its driver. It may hold a password: neither the text of the
settings nor an error about them shows it."""
