from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from palomar_proto.palomar.v1 import recordings_pb2 as pb
from palomar_server.catalogue.catalogue import LIST_MAX, UNDER_WAY, Catalogue
from palomar_server.catalogue.errors import CatalogueError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def recording(
    number: int,
    *,
    node: str = "node",
    status: pb.RecordingStatus.ValueType = pb.RECORDING_STATUS_COMPLETE,
    expires_s: int | None = None,
    file_name: str = "",
) -> pb.Recording:
    made = pb.Recording(id=f"web-{number:08x}", node_name=node, status=status, file_name=file_name)
    made.request.name = "web"
    made.request.filter.whitelist.add(source_pod=["default/web"])
    made.counts.captured.packets = 3
    made.started.FromSeconds(1_000 + number)
    if expires_s is not None:
        made.expires.FromSeconds(expires_s)
    return made


def ids(recordings: Iterable[pb.Recording]) -> list[int]:
    return [int(one.id.removeprefix("web-"), 16) for one in recordings]


async def test_an_entry_comes_back_as_it_was_put_in(catalogue: Catalogue) -> None:
    given = recording(1, file_name="web.pcapng", expires_s=2_000)
    await catalogue.add(given)
    assert await catalogue.get("node", given.id) == given
    assert await catalogue.get("node", "web-00000002") is None


async def test_an_id_is_there_once(catalogue: Catalogue) -> None:
    await catalogue.add(recording(1))
    with pytest.raises(CatalogueError, match="an entry of this node and id already"):
        await catalogue.add(recording(1, status=pb.RECORDING_STATUS_FAILED))
    assert (await catalogue.list("node")).recordings == (recording(1),)


async def test_an_update_takes_the_place_of_the_entry(catalogue: Catalogue) -> None:
    await catalogue.add(recording(1, status=pb.RECORDING_STATUS_RUNNING))
    assert await catalogue.update(recording(1, expires_s=5))
    assert await catalogue.get("node", recording(1).id) == recording(1, expires_s=5)
    assert ids(await catalogue.expired("node", 6 * 10**9)) == [1]
    assert not await catalogue.update(recording(2))
    assert await catalogue.get("node", recording(2).id) is None


async def test_the_newest_is_listed_first(catalogue: Catalogue) -> None:
    for number in (2, 3, 1):
        await catalogue.add(recording(number))
    assert ids((await catalogue.list("node")).recordings) == [3, 2, 1]


async def test_a_listing_says_whether_there_is_more(catalogue: Catalogue) -> None:
    for number in range(3):
        await catalogue.add(recording(number))
    for limit, truncated in ((2, True), (3, False), (LIST_MAX + 9, False), (0, False)):
        listing = await catalogue.list("node", limit=limit)
        assert len(listing.recordings) == min(limit or 3, 3)
        assert listing.truncated is truncated


async def test_entries_are_chosen_by_their_status(catalogue: Catalogue) -> None:
    await catalogue.add(recording(1, status=pb.RECORDING_STATUS_RUNNING))
    await catalogue.add(recording(2, status=pb.RECORDING_STATUS_STOPPING))
    await catalogue.add(recording(3, status=pb.RECORDING_STATUS_FAILED))
    listing = await catalogue.list("node", statuses=UNDER_WAY)
    assert ids(listing.recordings) == [2, 1]
    assert ids((await catalogue.list("node", statuses=[6])).recordings) == []


async def test_each_node_sees_its_own_entries_alone(catalogue: Catalogue) -> None:
    for node in ("a", "b"):
        await catalogue.add(recording(1, node=node, expires_s=1, file_name="gone"))
    assert await catalogue.delete("a", recording(1).id)
    assert not await catalogue.delete("a", recording(1).id)
    assert not await catalogue.update(recording(1, node="a"))
    assert (await catalogue.list("a")).recordings == ()
    assert await catalogue.expired("a", 2**60) == ()
    assert await catalogue.surplus("a", 0) == ()
    assert await catalogue.delete_fileless("a", tuple) == ()
    assert ids((await catalogue.list("b")).recordings) == [1]


async def test_an_entry_expires_at_its_time_and_not_before(catalogue: Catalogue) -> None:
    for number, expires_s in ((1, 30), (2, 20), (3, None)):
        await catalogue.add(recording(number, expires_s=expires_s))
    assert ids(await catalogue.expired("node", 20 * 10**9 - 1)) == []
    assert ids(await catalogue.expired("node", 20 * 10**9)) == [2]
    assert ids(await catalogue.expired("node", 99 * 10**9)) == [2, 1]


async def test_the_oldest_that_have_ended_are_surplus(catalogue: Catalogue) -> None:
    for number in (3, 1, 2):
        await catalogue.add(recording(number))
    await catalogue.add(recording(0, status=pb.RECORDING_STATUS_ARMED))
    assert ids(await catalogue.surplus("node", 3)) == []
    assert ids(await catalogue.surplus("node", 1)) == [1, 2]


async def test_entries_go_whose_file_is_gone(catalogue: Catalogue) -> None:
    await catalogue.add(recording(1, file_name="there"))
    await catalogue.add(recording(2, file_name="gone"))
    await catalogue.add(recording(3, file_name="unfinished", status=pb.RECORDING_STATUS_RUNNING))
    await catalogue.add(recording(4))  # A stream's.
    assert await catalogue.file_names("node") == {"there", "gone", "unfinished"}
    assert await catalogue.delete_fileless("node", lambda: None) == ()
    assert ids(await catalogue.delete_fileless("node", lambda: {"there", "foreign"})) == [2]
    assert ids((await catalogue.list("node")).recordings) == [4, 3, 1]


async def test_calls_may_overlap(catalogue: Catalogue) -> None:
    await asyncio.gather(*(catalogue.add(recording(number)) for number in range(20)))
    await asyncio.gather(
        *(catalogue.update(recording(number, expires_s=number)) for number in range(20)),
        *(catalogue.list("node") for _ in range(20)),
    )
    assert ids(await catalogue.expired("node", 2**60)) == [*range(20)]


async def test_a_call_that_is_cancelled_stops_no_other(catalogue: Catalogue) -> None:
    await catalogue.open()
    for number in range(10):
        async with asyncio.TaskGroup() as tasks:
            adding = tasks.create_task(catalogue.add(recording(number)))
            await asyncio.sleep(number * 0.000_5)
            adding.cancel()
    await catalogue.add(recording(10))
    assert ids((await catalogue.list("node")).recordings)[0] == 10


async def test_entries_outlive_the_catalogue(url: str) -> None:
    for _ in range(2):
        catalogue = Catalogue(url)
        if not (await catalogue.list("node")).recordings:
            await catalogue.add(recording(1))
        await catalogue.close()
        # And a closed one opens by itself.
        assert ids((await catalogue.list("node")).recordings) == [1]
        await catalogue.close()


async def test_an_absent_file_is_known_to_be_new(sqlite_url: str) -> None:
    catalogue = Catalogue(sqlite_url)
    assert catalogue.is_new
    await catalogue.open()
    assert not catalogue.is_new
    await catalogue.close()
    assert not Catalogue("postgresql+asyncpg://host/name").is_new


async def test_of_a_file_that_cannot_be_looked_at_nothing_is_certain(tmp_path: Path) -> None:
    catalogue = Catalogue(f"sqlite+aiosqlite:///{tmp_path}/{'long' * 100}/palomar.db")
    assert not catalogue.is_new
    with pytest.raises(CatalogueError, match="File name too long"):
        await catalogue.list("node")
    await catalogue.close()


async def test_a_file_that_was_removed_is_made_anew_and_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "state" / "palomar.db"
    catalogue = Catalogue(f"sqlite+aiosqlite:///{path}")
    await catalogue.add(recording(1))
    path.unlink()
    assert not await catalogue.update(recording(1))
    await catalogue.add(recording(2))
    assert ids((await catalogue.list("node")).recordings) == [2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await catalogue.close()


async def test_a_database_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    catalogue = Catalogue(f"sqlite+aiosqlite:///{tmp_path}/file/palomar.db")
    (tmp_path / "file").touch()
    with pytest.raises(CatalogueError, match=r"File exists|Not a directory"):
        await catalogue.open()
    (tmp_path / "file").unlink()
    await catalogue.add(recording(1))
    await catalogue.close()


def test_nothing_of_the_database_is_loaded_before_it_is_needed() -> None:
    code = """
        import sys
        from palomar_server.catalogue.catalogue import Catalogue
        assert Catalogue("sqlite+aiosqlite:////nowhere/palomar.db").is_new
        print(*{"sqlalchemy", "alembic", "aiosqlite", "asyncpg", "sqlite3"} & set(sys.modules))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


def test_several_processes_may_open_a_new_database_at_once(url: str) -> None:
    code = """
        import asyncio, sys
        from palomar_proto.palomar.v1 import recordings_pb2 as pb
        from palomar_server.catalogue.catalogue import Catalogue

        async def main() -> None:
            catalogue = Catalogue(sys.argv[1])
            sys.stdin.read()
            for number in range(5):
                await catalogue.add(pb.Recording(node_name=sys.argv[2], id=str(number)))
            assert len((await catalogue.list(sys.argv[2])).recordings) == 5
            await catalogue.close()

        asyncio.run(main())
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), url, f"node{number}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    assert [(process.communicate()[1], process.returncode) for process in processes] == [
        ("", 0) for _ in processes
    ]


async def test_many_who_come_while_it_cannot_be_opened_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("no folder")
    catalogue = Catalogue(f"sqlite+aiosqlite:///{tmp_path}/folder/catalogue.db")
    told = await asyncio.gather(
        *(catalogue.get("node", "a-00000001") for _ in range(8)), return_exceptions=True
    )
    assert {type(one) for one in told} == {CatalogueError}
    assert catalogue._failures == 1
    (tmp_path / "folder").unlink()
    assert await catalogue.get("node", "a-00000001") is None
    await catalogue.close()
