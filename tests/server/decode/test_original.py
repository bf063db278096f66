from __future__ import annotations

import ipaddress

import numpy as np
import pytest

from palomar_bpf.payload import DROP_FLAG_IPV6
from palomar_server.address import parse_address
from palomar_server.decode.original import address_columns
from palomar_server.table import Flag
from palomar_server.testing import packet, trace_payload
from tests.server.decode.builders import V4, V6, one, trace_v1

BESIDE = {
    "alone": (),
    "v1": (trace_v1(packet(*V4)), trace_v1(packet(*V6), b"\1" * 16, flags=DROP_FLAG_IPV6)),
    "v0": (trace_payload(packet(*V4)),),
}
beside_others = pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
ANY = "0.0.0.0"  # noqa: S104 - an address to decode
SNAT = Flag.ORIGINAL | Flag.XLATED


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def test_addresses_of_heads_become_columns() -> None:
    hi = np.array([0x0A000001_00000000, 0x20010DB8_00000000, 0], np.uint64)
    lo = np.array([0, 7, 0], np.uint64)
    ipv6 = np.array([False, True, False])
    found = zip(*(column.tolist() for column in address_columns(hi, lo, ipv6)), strict=True)
    texts = ("10.0.0.1", "2001:db8::7", ANY)
    assert list(found) == [parse_address(text) for text in texts]
    found = zip(*(column.tolist() for column in address_columns(hi[:1], lo[:1], None)), strict=True)
    assert list(found) == [parse_address("10.0.0.1")]


@beside_others
@pytest.mark.parametrize(
    ("ends", "original", "flags", "source", "xlated"),
    [
        (V4, "10.0.0.9", 0, "10.0.0.9", V4[0]),
        (V4, V4[0], 0, V4[0], None),
        (V6, "fd00::9", DROP_FLAG_IPV6, "fd00::9", V6[0]),
        (V6, V6[0], DROP_FLAG_IPV6, V6[0], None),
        (V4, "fd00::9", DROP_FLAG_IPV6, "fd00::9", V4[0]),
        (V6, "10.0.0.9", 0, "10.0.0.9", V6[0]),
        # An IPv4 address stands in IPv6 form for the same one.
        (V4, f"::ffff:{V4[0]}", DROP_FLAG_IPV6, V4[0], None),
    ],
)
def test_the_source_before_translation_is_the_source(
    ends: tuple[str, str],
    original: str,
    flags: int,
    source: str,
    xlated: str | None,
    beside: tuple[bytes, ...],
) -> None:
    row = one(trace_v1(packet(*ends), packed(original), flags=flags), *beside)
    assert (row["source_hi"], row["source_lo"]) == parse_address(source)
    found = (int(row["source_xlated_hi"]), int(row["source_xlated_lo"]))
    assert found == ((0, 0) if xlated is None else parse_address(xlated))
    assert row["flags"] & SNAT == (Flag.ORIGINAL if xlated is None else SNAT)
    assert (row["destination_hi"], row["destination_lo"]) == parse_address(ends[1])


@beside_others
@pytest.mark.parametrize(
    ("original", "flags"), [(ANY, 0), ("::", DROP_FLAG_IPV6), ("::ffff:0.0.0.0", 1)]
)
def test_an_unspecified_address_is_none(
    original: str, flags: int, beside: tuple[bytes, ...]
) -> None:
    row = one(trace_v1(packet(*V4), packed(original), flags=flags), *beside)
    assert not row["flags"] & SNAT
    assert (row["source_hi"], row["source_lo"]) == parse_address(V4[0])


@beside_others
def test_what_is_behind_an_ipv4_address_is_not_read(beside: tuple[bytes, ...]) -> None:
    row = one(trace_v1(packet(*V4), packed("10.0.0.9").ljust(16, b"\xff")), *beside)
    assert (row["source_hi"], row["source_lo"]) == parse_address("10.0.0.9")


@beside_others
def test_without_an_ip_header_there_is_no_source(beside: tuple[bytes, ...]) -> None:
    for content in (b"", packet(*V4)[:14]):
        row = one(trace_v1(content, packed("10.0.0.9")), *beside)
        assert row["flags"] & SNAT == Flag.ORIGINAL
        assert (row["source_hi"], row["source_lo"]) == (0, 0)
