from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.errors import NotFound, NotReady
from palomar_server.recording import archive as archive_module
from tests.server.recording.archive_testbed import COMPLETE, INTERRUPTED, KEEP_NS, NOW_NS, Node, end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNNING = recordings_pb2.RECORDING_STATUS_RUNNING


async def test_nothing_is_opened_where_there_is_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.archive.is_empty
    assert await node.archive.list((), 10) == ([], False)
    with pytest.raises(NotFound):
        await node.archive.get("a-00000001")
    assert [*tmp_path.iterdir()] == []


async def test_what_ended_is_kept_for_its_time_and_then_removed(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    await node.archive.begin(recording)
    node.file(recording, finish=True)
    end(recording)
    await node.archive.finish(recording)
    assert recording.expires.ToNanoseconds() == NOW_NS + KEEP_NS
    assert await node.archive.get(recording.id) == recording
    await node.archive.tidy()
    assert await node.archive.get(recording.id) == recording
    node.now_ns += KEEP_NS
    await node.archive.tidy()
    with pytest.raises(NotFound):
        await node.archive.get(recording.id)
    assert [*(tmp_path / "files").iterdir()] == []
    await node.archive.close()


async def test_a_recording_that_was_killed_is_readable_and_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    await node.archive.begin(recording)
    whole = node.file(recording, finish=False)
    await node.archive.close()
    node.again()
    await node.archive.recover()
    found = await node.archive.get(recording.id)
    assert (found.status, found.end) == (INTERRUPTED, recordings_pb2.RECORDING_END_INTERRUPTED)
    assert (found.file_bytes, found.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    file = tmp_path / "files" / found.file_name
    assert file.read_bytes() == whole
    beside = json.loads(file.with_name(f"{file.name}.json").read_text())
    assert beside["status"] == "RECORDING_STATUS_INTERRUPTED"
    await node.archive.close()


async def test_a_stream_is_noted_when_it_has_ended(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1, file=False)
    end(recording)
    await node.archive.finish(recording)
    await node.archive.tidy()
    entries, truncated = await node.archive.list((COMPLETE,), 10)
    assert (entries, truncated) == ([recording], False)
    await node.archive.close()


async def test_an_entry_whose_file_was_removed_is_forgotten(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    await node.archive.begin(recording)
    node.file(recording, finish=True)
    end(recording)
    await node.archive.finish(recording)
    (tmp_path / "files" / recording.file_name).unlink()
    await node.archive.tidy()
    with pytest.raises(NotFound):
        await node.archive.get(recording.id)
    assert [*(tmp_path / "files").iterdir()] == []
    await node.archive.close()


async def test_without_a_database_nothing_begins_and_what_ends_is_kept_in_mind(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path, url=f"sqlite+aiosqlite:///{tmp_path}/folder/catalogue.db")
    (tmp_path / "folder").write_text("no folder")
    recording = node.recording(1)
    with pytest.raises(NotReady):
        await node.archive.begin(recording)
    node.file(recording, finish=True)
    end(recording)
    await node.archive.finish(recording)
    assert await node.archive.get(recording.id) == recording
    (tmp_path / "folder").unlink()
    await node.archive.tidy()
    node.again()
    assert await node.archive.get(recording.id) == recording
    await node.archive.close()


async def test_what_cannot_be_an_id_is_of_no_recording(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.archive.begin(node.recording(1))
    for text in ("", "a\0", "../a", "a" * 65):
        with pytest.raises(NotFound):
            await node.archive.get(text)
    await node.archive.close()


async def test_discarded_and_deleted_recordings_are_gone(tmp_path: Path) -> None:
    node = Node(tmp_path)
    first, second = node.recording(1), node.recording(2)
    for one in (first, second):
        await node.archive.begin(one)
    node.file(second, finish=True)
    await node.archive.discard(first)
    await node.archive.delete(second)
    assert await node.archive.list((), 10) == ([], False)
    assert [*(tmp_path / "files").iterdir()] == []
    await node.archive.close()


async def test_one_that_cannot_be_removed_keeps_no_other_from_expiring(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for number in (1, 2):
        recording = node.recording(number)
        await node.archive.begin(recording)
        node.file(recording, finish=True)
        end(recording)
        await node.archive.finish(recording)
    stuck = tmp_path / "files" / "a-00000001_node-1.pcap"
    stuck.unlink()
    (stuck / "folder").mkdir(parents=True)
    node.now_ns += KEEP_NS
    await node.archive.tidy()
    entries, _ = await node.archive.list((), 10)
    assert [one.id for one in entries] == ["a-00000001"]
    assert [path.name for path in (tmp_path / "files").glob("*.pcap")] == [stuck.name]
    await node.archive.close()


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Have a database that can be read take nothing more."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        for verb in ("insert", "update", "delete"):
            database.execute(
                f"CREATE TRIGGER no_{verb} BEFORE {verb} ON recordings "
                "BEGIN SELECT RAISE(ABORT, 'read-only'); END"
            )
        yield
        for verb in ("insert", "update", "delete"):
            database.execute(f"DROP TRIGGER no_{verb}")


async def test_files_expire_though_the_database_takes_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    first, second, third = (node.recording(number) for number in (1, 2, 3))
    for recording in (first, second, third):
        await node.archive.begin(recording)
        node.file(recording, finish=True)
        end(recording)
    third.ended.FromNanoseconds(NOW_NS + KEEP_NS)
    await node.archive.finish(first)
    await node.archive.finish(third)
    files = tmp_path / "files"
    with read_only(tmp_path / "catalogue.db"):
        await node.archive.finish(second)
        node.now_ns += KEEP_NS
        with pytest.raises(NotReady, match="does not take a-00000002"):
            await node.archive.tidy()
        left = sorted(path.name for path in files.glob("*.pcap"))
        assert left == [second.file_name, third.file_name]
        node.now_ns += KEEP_NS
        with pytest.raises(NotReady):
            await node.archive.tidy()
        assert [path.name for path in files.glob("*.pcap")] == [second.file_name]
    await node.archive.tidy()
    await node.archive.tidy()
    assert await node.archive.list((), 10) == ([], False)
    assert [*files.iterdir()] == []
    await node.archive.close()


async def test_a_database_that_was_removed_knows_all_files_again(tmp_path: Path) -> None:
    node = Node(tmp_path)
    ended, running = node.recording(1), node.recording(2)
    for recording in (ended, running):
        await node.archive.begin(recording)
    node.file(ended, finish=True)
    end(ended)
    await node.archive.finish(ended)
    target = node.storage.create(running.file_name.removesuffix(".pcap"), ".pcap")
    (tmp_path / "catalogue.db").unlink()
    await node.archive.tidy()
    assert await node.archive.list((), 10) == ([ended], False)
    target.finish([])
    end(running)
    await node.archive.finish(running)
    await node.archive.tidy()
    assert await node.archive.list((), 10) == ([running, ended], False)
    await node.archive.close()


async def test_what_could_not_be_noted_is_listed_as_it_ended(tmp_path: Path) -> None:
    node = Node(tmp_path)
    file, stream = node.recording(1), node.recording(2, file=False)
    await node.archive.begin(file)
    with read_only(tmp_path / "catalogue.db"):
        for recording in (file, stream):
            end(recording)
            await node.archive.finish(recording)
    assert await node.archive.list((), 10) == ([stream, file], False)
    assert await node.archive.list((COMPLETE,), 10) == ([stream, file], False)
    assert await node.archive.list((RUNNING,), 10) == ([], False)
    await node.archive.close()


async def test_what_cannot_be_noted_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "_UNSAVED_MAX", 3)
    node = Node(tmp_path, url=f"sqlite+aiosqlite:///{tmp_path}/folder/catalogue.db")
    (tmp_path / "folder").write_text("no folder")
    for number in range(5):
        recording = node.recording(number, file=False)
        end(recording)
        await node.archive.finish(recording)
        await node.archive.discard(node.recording(100 + number))
    assert sorted(node.archive._unsaved) == [f"a-{number:08x}" for number in (2, 3, 4)]
    assert len(node.archive._unwanted) == 3


async def test_one_that_never_began_is_not_told_of_though_its_entry_could_not_go(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path)
    recording = node.recording(1, file=False)
    await node.archive.begin(recording)
    database = tmp_path / "catalogue.db"
    aside = database.rename(tmp_path / "aside")
    database.mkdir()
    await node.archive.discard(recording)
    database.rmdir()
    aside.rename(database)
    assert await node.archive.list((), 10) == ([], False)
    with pytest.raises(NotFound):
        await node.archive.get(recording.id)
    await node.archive.tidy()
    node.again()
    assert await node.archive.list((), 10) == ([], False)
    await node.archive.close()
