from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from palomar_server import setting_types


def check(type_: Any, value: object) -> Any:
    return TypeAdapter(type_).validate_python(value)


def test_longest_socket_path_is_accepted() -> None:
    longest = "/" + 106 * "x"
    assert check(setting_types.SocketPath, longest) == Path(longest)


@pytest.mark.parametrize("value", ["", ".", "/", "/a\0b", "/" + 107 * "x", "/" + 54 * "ä"])
def test_other_socket_paths_are_refused(value: str) -> None:
    with pytest.raises(ValidationError, match=r"path of a socket|at most 107 bytes"):
        check(setting_types.SocketPath, value)


@pytest.mark.parametrize(
    "value", ["127.0.0.1:4244", "127.9.9.9:0", "[::1]:4244", "localhost:65535"]
)
def test_loopback_addresses_are_listened_on(value: str) -> None:
    assert check(setting_types.ListenAddress, value) == value


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("0.0.0.0:4244", "no loopback address"),
        ("[::]:4244", "no loopback address"),
        ("10.0.0.1:4244", "there is no TLS yet"),
        ("::1:4244", "in brackets"),
        ("[127.0.0.1]:4244", "in brackets"),
        ("127.0.0.1", "must be HOST:PORT"),
        ("127.0.0.1:", "must be HOST:PORT"),
        ("127.0.0.1:65536", "must be HOST:PORT"),
        ("127.0.0.1:²", "must be HOST:PORT"),
        (":4244", "must be a numeric address"),
        ("example.com:4244", "must be a numeric address"),
    ],
)
def test_other_addresses_are_refused(value: str, what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        check(setting_types.ListenAddress, value)


@pytest.mark.parametrize("exponent", range(1, 17))
def test_one_less_than_a_power_of_two_is_a_capacity(exponent: int) -> None:
    assert check(setting_types.RingCapacity, 2**exponent - 1) == 2**exponent - 1


@pytest.mark.parametrize(
    ("value", "nearest"),
    [
        (4096, "are 4095 and 8191"),
        (4000, "are 2047 and 4095"),
        (2, "are 1 and 3"),
        (65_534, "are 32767 and 65535"),
        (65_536, "is 65535"),
        (131_071, "is 65535"),
        (0, "is 1"),
        (-5, "is 1"),
    ],
)
def test_other_capacities_are_refused_with_the_nearest(value: int, nearest: str) -> None:
    with pytest.raises(ValidationError, match=f"the nearest valid {nearest} "):
        check(setting_types.RingCapacity, value)


@given(st.integers(-10, 1 << 18))
def test_any_other_capacity_is_a_validation_error(value: int) -> None:
    if value not in {2**i - 1 for i in range(1, 17)}:
        with pytest.raises(ValidationError):
            check(setting_types.RingCapacity, value)


@pytest.mark.parametrize("value", ["0660", "660", "0o660", 0o660])
def test_modes_are_octal(value: object) -> None:
    assert check(setting_types.FileMode, value) == 0o660


@pytest.mark.parametrize("value", ["999", "rw", "1000", 660, -1, True, None, 1.5, ""])
def test_what_is_no_mode_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="octal mode"):
        check(setting_types.FileMode, value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("recorded", "recorded"), ("max", "max"), ("1000/s", 1000.0), ("5", 5.0), (0.5, 0.5)],
)
def test_speeds_are_words_or_positive_numbers(value: object, expected: object) -> None:
    assert check(setting_types.Speed, value) == expected


@pytest.mark.parametrize("value", ["fast", "0/s", -1, "nan", "inf", True, None, [1]])
def test_other_speeds_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="events per second, such as"):
        check(setting_types.Speed, value)


@pytest.mark.parametrize("value", [1, 64, 1 << 14])
def test_powers_of_two_are_pages(value: int) -> None:
    assert check(setting_types.Pages, value) == value


@pytest.mark.parametrize("value", [0, 3, 1 << 15, -4])
def test_other_numbers_of_pages_are_refused(value: int) -> None:
    with pytest.raises(ValidationError, match="power of two"):
        check(setting_types.Pages, value)


@pytest.mark.parametrize(
    "value", ["eth*,veth?", ["eth*", "veth?"], ("eth* , veth?", ""), ["eth*,veth?"]]
)
def test_lists_are_parted_at_commas(value: object) -> None:
    assert check(setting_types.Globs, value) == ("eth*", "veth?")


@pytest.mark.parametrize("value", [7, [7], {"a": 1}])
def test_lists_hold_text_only(value: object) -> None:
    with pytest.raises(ValidationError):
        check(setting_types.Globs, value)


def test_drop_reasons_lose_their_prefix() -> None:
    names = "SKB_DROP_REASON_NETFILTER_DROP,no_socket,SKB_CONSUMED"
    expected = ("NETFILTER_DROP", "NO_SOCKET", "CONSUMED")
    assert check(setting_types.DropReasons, names) == expected
    with pytest.raises(ValidationError, match="name of a kernel drop reason"):
        check(setting_types.DropReasons, "7")


def test_flags_are_names_of_tcp_flags() -> None:
    assert check(setting_types.TcpFlags, "syn,ack") == ("syn", "ack")
    with pytest.raises(ValidationError):
        check(setting_types.TcpFlags, "syn,pushy")


@pytest.mark.parametrize("value", ["a:b", "a.b_c:d.e"])
def test_hooks_are_a_module_and_an_object(value: str) -> None:
    assert check(setting_types.HookNames, value) == (value,)


@pytest.mark.parametrize("value", ["a", "a:", ":b", "a.:b", "a:b:c", "1a:b"])
def test_other_hooks_are_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="MODULE:OBJECT"):
        check(setting_types.HookNames, value)


@pytest.mark.parametrize("value", ["", "a/b", "-a", "a" * 254, "a b"])
def test_names_have_no_slash_nor_space(value: str) -> None:
    with pytest.raises(ValidationError, match="1 to 253 letters"):
        check(setting_types.Name, value)


@pytest.mark.parametrize("value", ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:0", "localhost:9090"])
def test_any_numeric_address_can_be_listened_on_where_no_flows_are_served(value: str) -> None:
    assert check(setting_types.AnyAddress, value) == value


@pytest.mark.parametrize("value", ["example.com:9090", "127.0.0.1", ":9090", "::1:9090"])
def test_what_is_no_address_is_refused_there_too(value: str) -> None:
    with pytest.raises(ValidationError, match=r"HOST:PORT|numeric address|in brackets"):
        check(setting_types.AnyAddress, value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("all", ("all",)),
        (["none"], ("none",)),
        ("acme-drops, other", ("acme-drops", "other")),
        ("", ()),
    ],
)
def test_entry_points_are_names_or_one_word(value: object, expected: tuple[str, ...]) -> None:
    assert check(setting_types.EntryPointNames, value) == expected


@pytest.mark.parametrize("value", ["all,acme-drops", ["none", "all"], "acme-drops,none"])
def test_a_word_for_many_entry_points_stands_alone(value: object) -> None:
    with pytest.raises(ValidationError, match="must be all, none, or names"):
        check(setting_types.EntryPointNames, value)


def test_headers_are_compared_in_lower_case() -> None:
    assert check(setting_types.HeaderNames, "X-Api-Key,Host") == ("x-api-key", "host")


@pytest.mark.parametrize("value", ["X Api", "a:b", "ä"])
def test_what_is_no_header_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="name of an HTTP header"):
        check(setting_types.HeaderNames, value)


@pytest.mark.parametrize("value", ["a", "=b", " =b"])
def test_a_label_has_a_key_and_a_value(value: str) -> None:
    assert check(setting_types.Labels, "a=b,c=") == ("a=b", "c=")
    with pytest.raises(ValidationError, match="must be KEY=VALUE"):
        check(setting_types.Labels, value)


class _WithDatabase(BaseModel):
    url: setting_types.DatabaseUrl


@pytest.mark.parametrize(
    "value", ["sqlite+aiosqlite:////var/lib/palomar.db", "postgresql+asyncpg://u:p@host/name"]
)
def test_databases_are_named_with_their_driver(value: str) -> None:
    assert _WithDatabase(url=value).url == value


def test_other_databases_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be sqlite"):
        _WithDatabase(url="mysql://u:p@host/name")


def test_the_text_of_a_model_leaves_the_database_out() -> None:
    assert str(_WithDatabase(url="postgresql+asyncpg://u:p@host/name")) == ""
