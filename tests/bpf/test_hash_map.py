from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

import pytest

from palomar_bpf import bpf_call
from palomar_bpf.errors import BpfError
from palomar_bpf.hash_map import HashMap, U32Map
from palomar_bpf.testing import FakeMap

if TYPE_CHECKING:
    from collections.abc import Iterator

MAP_CREATE = 0
MAP_TYPE_HASH = 1


@pytest.fixture
def kernel(live: None) -> Iterator[HashMap]:
    """A map in the kernel: keys and values of 4 bytes, 2 entries at most."""
    fd = bpf_call._bpf(MAP_CREATE, "map", struct.pack("=IIII", MAP_TYPE_HASH, 4, 4, 2))
    yield HashMap(fd)
    os.close(fd)


def behaves_as_promised(table: U32Map) -> None:
    table.update(1, b"once")
    table.update(1, b"more")
    table.update(2, b"this")
    with pytest.raises(BpfError) as caught:
        table.update(3, b"full")
    assert caught.value.errno == errno.E2BIG
    table.delete(2)
    table.delete(2)
    table.update(3, b"full")


@pytest.mark.live
def test_a_map_in_the_kernel_takes_numbers(kernel: HashMap) -> None:
    behaves_as_promised(kernel)
    assert bpf_call.map_lookup(kernel._fd, struct.pack("=I", 1), 4) == b"more"
    assert bpf_call.map_lookup(kernel._fd, struct.pack("=I", 2), 4) is None


def test_the_fake_behaves_like_the_kernel() -> None:
    table = FakeMap(entries_max=2)
    behaves_as_promised(table)
    assert table.entries == {1: b"more", 3: b"full"}
