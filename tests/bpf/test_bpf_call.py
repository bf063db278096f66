from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from palomar_bpf import bpf_call
from palomar_bpf.bpf_call import (
    BpfError,
    link_create_tcx,
    map_delete,
    map_lookup,
    map_update,
    percpu_lookup,
    possible_cpus,
    raw_tracepoint_open,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAP_CREATE = 0
NO_FD = 1 << 30
_HASH, _PERCPU_ARRAY = 1, 6


def make_map(kind: int, value_size: int, entries: int) -> int:
    return bpf_call._bpf(
        _MAP_CREATE, "map create", struct.pack("=IIII", kind, 4, value_size, entries)
    )


@pytest.fixture
def hash_map(live: None) -> Iterator[int]:
    fd = make_map(_HASH, 6, 2)
    yield fd
    os.close(fd)


@pytest.mark.live
def test_what_is_put_in_a_map_is_found_until_it_is_deleted(hash_map: int) -> None:
    assert map_lookup(hash_map, b"key1", 6) is None
    map_update(hash_map, b"key1", b"first ")
    map_update(hash_map, b"key1", b"second")
    assert map_lookup(hash_map, b"key1", 6) == b"second"
    assert map_delete(hash_map, b"key1")
    assert not map_delete(hash_map, b"key1")
    assert map_lookup(hash_map, b"key1", 6) is None


@pytest.mark.live
def test_full_map_says_so(hash_map: int) -> None:
    map_update(hash_map, b"key1", b"filler")
    map_update(hash_map, b"key2", b"filler")
    with pytest.raises(BpfError, match="map update") as caught:
        map_update(hash_map, b"key3", b"filler")
    assert caught.value.errno == errno.E2BIG


@pytest.mark.live
def test_per_cpu_array_has_a_value_for_each_possible_cpu(live: None) -> None:
    fd = make_map(_PERCPU_ARRAY, 12, 1)
    try:
        cpus = possible_cpus()
        assert percpu_lookup(fd, bytes(4), 12, cpus) == [bytes(12)] * cpus
        with pytest.raises(BpfError, match="per-CPU map lookup") as caught:
            percpu_lookup(fd, b"\1\0\0\0", 12, cpus)
        assert caught.value.errno == errno.ENOENT
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "call",
    [
        lambda: map_lookup(NO_FD, b"key1", 4),
        lambda: map_update(NO_FD, b"key1", b"data"),
        lambda: map_delete(NO_FD, b"key1"),
        lambda: link_create_tcx(NO_FD, 1, egress=True, before=False),
        lambda: raw_tracepoint_open("kfree_skb", NO_FD),
    ],
    ids=["lookup", "update", "delete", "tcx", "tracepoint"],
)  # fmt: skip
def test_refusal_is_an_error_that_names_the_command(call: object) -> None:
    assert callable(call)
    with pytest.raises(BpfError, match=r"bpf (map|tcx|raw)") as caught:
        call()
    assert caught.value.errno != 0


def test_possible_cpus_covers_the_online_ones() -> None:
    assert possible_cpus() >= len(os.sched_getaffinity(0))
