from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.event_file import EventFileWriter
from palomar_server.replay import ReplaySource
from palomar_server.source import END, Source

if TYPE_CHECKING:
    from pathlib import Path


def read_to_the_end(source: Source) -> list[object]:
    items: list[object] = []
    while (item := source.read()) is not END:
        items.append(item)
    source.close()
    return items


def test_replay_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "events.plm"
    writer = EventFileWriter(path, 1000)
    writer.write_context({"node_name": "a"})
    writer.close()
    assert read_to_the_end(ReplaySource(path, "max")) == [{"node_name": "a"}]
