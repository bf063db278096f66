from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest
from google.protobuf.json_format import MessageToJson

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.sidecar import write_sidecar
from tests.server.recording.archive_testbed import COMPLETE, INTERRUPTED, KEEP_NS, NOW_NS, Node, end

if TYPE_CHECKING:
    from pathlib import Path

HEADER_BYTES = 24


async def test_a_recording_killed_before_its_end_was_noted_has_its_size(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    await node.archive.begin(recording)
    whole = node.file(recording, finish=True)
    await node.archive.close()
    node.again()
    found = await node.archive.get(recording.id)
    assert (found.status, found.file_bytes) == (INTERRUPTED, len(whole))
    assert found.sha256 == hashlib.sha256(whole).hexdigest()
    await node.archive.close()


async def test_a_recording_killed_while_it_started_is_interrupted(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    recording.status = recordings_pb2.RECORDING_STATUS_STARTING
    await node.archive.begin(recording)
    await node.archive.close()
    node.again()
    found = await node.archive.get(recording.id)
    assert (found.status, found.end) == (INTERRUPTED, recordings_pb2.RECORDING_END_INTERRUPTED)
    await node.archive.close()


async def test_what_another_palomard_is_writing_is_left_alone(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    await node.archive.begin(recording)
    target = node.storage.create(f"{recording.id}_node-1", ".pcap")
    await node.archive.close()
    node.again()
    assert (await node.archive.get(recording.id)).status == recording.status
    await node.archive.close()
    target.discard()


async def test_a_file_without_an_entry_gets_one(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.file(node.recording(7), finish=False)
    assert not node.archive.is_empty
    found = await node.archive.get("a-00000007")
    assert found.status == INTERRUPTED
    assert "without an entry" in found.message
    await node.archive.close()


async def test_an_orphan_that_cannot_be_finished_keeps_no_other_from_it(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recordings = [node.recording(number) for number in range(3)]
    for recording in recordings:
        await node.archive.begin(recording)
        node.file(recording, finish=False)
    node.file(node.recording(7), finish=False)
    for number in (0, 7):
        (tmp_path / "files" / f"a-{number:08x}_node-1.pcap").write_text("in the way")
    await node.archive.close()
    node.again()
    await node.archive.begin(node.recording(9))
    broken, *whole = [await node.archive.get(one.id) for one in recordings]
    assert [one.status for one in (broken, *whole)] == [INTERRUPTED] * 3
    assert "File exists" in broken.message
    assert all(one.sha256 for one in whole)
    await node.archive.close()


async def test_what_could_not_be_finished_is_tried_again_and_keeps_its_facts(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    recording.started_by = "tcp:192.0.2.1"
    await node.archive.begin(recording)
    whole = node.file(recording, finish=False)
    in_the_way = tmp_path / "files" / recording.file_name
    in_the_way.write_text("in the way")
    for _ in range(2):
        await node.archive.close()
        node.again()
        await node.archive.tidy()
        found = await node.archive.get(recording.id)
        assert (found.status, found.started_by) == (INTERRUPTED, "tcp:192.0.2.1")
        in_the_way.unlink(missing_ok=True)
    assert found.file_bytes == len(whole)
    await node.archive.delete(found)
    assert [*(tmp_path / "files").iterdir()] == []
    await node.archive.close()


async def test_an_orphan_of_no_bytes_becomes_a_file_without_packets(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    await node.archive.begin(recording)
    node.file(recording, finish=False)
    (tmp_path / "files" / f"{recording.file_name}.partial").write_bytes(b"")
    await node.archive.close()
    node.again()
    found = await node.archive.get(recording.id)
    assert (found.status, found.file_bytes) == (INTERRUPTED, HEADER_BYTES)
    await node.archive.close()


async def test_one_killed_when_its_end_was_beside_it_ended_as_that_says(tmp_path: Path) -> None:
    node = Node(tmp_path)
    recording = node.recording(1)
    await node.archive.begin(recording)
    node.file(recording, finish=True)
    end(recording)
    recording.counts.written.packets = 2
    text = MessageToJson(recording, preserving_proto_field_name=True)
    write_sidecar(node.storage, recording.file_name, text)
    await node.archive.close()
    node.again()
    found = await node.archive.get(recording.id)
    assert (found.status, found.counts.written.packets) == (COMPLETE, 2)
    assert found.expires.ToNanoseconds() == NOW_NS + KEEP_NS
    await node.archive.close()


async def test_files_whose_database_is_gone_are_known_again_and_expire(tmp_path: Path) -> None:
    node = Node(tmp_path)
    first, second, third = (node.recording(number) for number in (1, 2, 3))
    for recording in (first, second):
        await node.archive.begin(recording)
        node.file(recording, finish=True)
        end(recording)
        await node.archive.finish(recording)
    files = tmp_path / "files"
    (files / f"{second.file_name}.json").write_text("{")
    node.file(third, finish=True)
    foreign = files / "a-00000004_node-2.pcap"
    foreign.write_bytes(b"")
    await node.archive.close()
    (tmp_path / "catalogue.db").unlink()
    node.again()
    await node.archive.tidy()
    assert await node.archive.get(first.id) == first
    for one in (second, third):
        found = await node.archive.get(one.id)
        assert (found.status, found.file_bytes > HEADER_BYTES) == (INTERRUPTED, True)
    node.now_ns += KEEP_NS
    await node.archive.tidy()
    assert [*files.iterdir()] == [foreign]
    await node.archive.close()


@pytest.mark.parametrize("name", ["hubble_1700000000_7", "0", "Web.1", f"w{'.' * 99}", "_"])
async def test_files_with_names_of_others_get_ids_like_all(tmp_path: Path, name: str) -> None:
    node = Node(tmp_path)
    suffixes = (".pcap", ".pcapng")
    for suffix in suffixes:
        target = node.storage.create(f"{name}_node-1", suffix)
        target.finish([])
    await node.archive.tidy()
    entries, _ = await node.archive.list((), 10)
    assert sorted(one.file_name for one in entries) == [f"{name}_node-1{one}" for one in suffixes]
    for one in entries:
        # As palomar.v1.Recording has it: clients download no others.
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,39}-[0-9a-f]{8}", one.id)
    node.again()
    await node.archive.tidy()
    assert len((await node.archive.list((), 10))[0]) == len(suffixes)
    await node.archive.close()
