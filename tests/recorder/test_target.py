from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_recorder.storage import Storage
from palomar_recorder.target import StoredTarget
from palomar_recorder.testing import MemoryTarget

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_a_target_with_limits_and_memory_is_none(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "r", max_bytes=100, free_min_bytes=0, file_max_bytes=100)
    target = storage.create("a", ".pcap")
    assert isinstance(target, StoredTarget)
    assert not isinstance(MemoryTarget(), StoredTarget)
    target.discard()
