import fcntl
import os
import stat
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from palomar.download import Download, refuse_existing
from palomar.errors import InvalidRequest, PalomarError, ServerError
from palomar_proto.palomar.v1.recordings_pb2 import DownloadResponse, FileChunk, Recording

ID = "web-0000000a"
DATA = b"0123456789"
RECORDING = Recording(
    id=ID,
    file_name="web-0000000a_node.pcapng",
    file_bytes=len(DATA),
    sha256=sha256(DATA).hexdigest(),
)
HEAD = DownloadResponse(recording=RECORDING)


def piece(begin: int, end: int, data: bytes = DATA) -> DownloadResponse:
    part = data[begin:end]
    return DownloadResponse(chunk=FileChunk(offset=begin, data=part, crc32=zlib.crc32(part)))


WHOLE = (HEAD, piece(0, 4), piece(4, 10))


def fetch(
    path: Path, answers: Sequence[DownloadResponse] = WHOLE, *, overwrite: bool = False
) -> Path:
    with Download(ID, path, overwrite=overwrite) as download:
        for answer in answers:
            download.take(answer)
        return download.finish()


def test_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    with Download(ID, path) as download:
        download.take(HEAD)
        download.take(piece(0, 10))
        assert not path.exists()
        assert download.finish() == path
    assert path.read_bytes() == DATA
    assert [one.name for one in tmp_path.iterdir()] == ["x.pcapng"]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    assert stat.S_IMODE(fetch(tmp_path / "x").stat().st_mode) == 0o600


def test_in_a_directory_it_has_its_own_name(tmp_path: Path) -> None:
    assert fetch(tmp_path) == tmp_path / "web-0000000a_node.pcapng"


def test_it_goes_on_where_an_earlier_attempt_stopped(tmp_path: Path) -> None:
    with Download(ID, tmp_path / "x") as download:
        download.take(HEAD)
        download.take(piece(0, 4))
    with Download(ID, tmp_path / "x") as download:
        assert download.offset_bytes == 4
        download.take(HEAD)
        download.take(piece(4, 10))
        assert download.finish().read_bytes() == DATA


def test_it_begins_anew_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / f"{ID}.partial").write_bytes(b"0123")
    with Download(ID, tmp_path / "x", resume=False) as download:
        assert download.offset_bytes == 0


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with Download(
        ID, tmp_path / "x", on_progress=lambda there, whole: told.append((there, whole))
    ) as download:
        for answer in (HEAD, piece(0, 4), piece(4, 10)):
            download.take(answer)
    assert told == [(0, 10), (4, 10), (10, 10)]


def test_other_files_are_never_overwritten_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("mine")
    with pytest.raises(InvalidRequest, match="is there already"):
        fetch(path)
    assert path.read_text() == "mine"
    fetch(path, overwrite=True)
    assert path.read_bytes() == DATA


def test_a_file_that_comes_meanwhile_is_not_overwritten_either(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with Download(ID, path) as download:
        for answer in (HEAD, piece(0, 10)):
            download.take(answer)
        path.write_text("mine")
        with pytest.raises(InvalidRequest, match="is there already"):
            download.finish()
    assert path.read_text() == "mine"


def test_only_files_are_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    for overwrite in (False, True):
        with pytest.raises(InvalidRequest, match="no regular file"):
            fetch(tmp_path / "x", overwrite=overwrite)
    assert (tmp_path / "x").is_fifo()
    # Under this name a shell may have a file of its own.
    with pytest.raises(InvalidRequest, match="no regular file"):
        refuse_existing(Path("/dev/stdout"), overwrite=True)


def test_a_pipe_that_comes_meanwhile_is_not_replaced_either(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with Download(ID, path, overwrite=True) as download:
        for answer in (HEAD, piece(0, 10)):
            download.take(answer)
        os.mkfifo(path)
        with pytest.raises(InvalidRequest, match="no regular file"):
            download.finish()
    assert path.is_fifo()


def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / f"{ID}.partial").symlink_to(elsewhere)
    with pytest.raises(InvalidRequest, match="cannot write"):
        fetch(tmp_path / "x")
    (tmp_path / f"{ID}.partial").unlink()
    (tmp_path / "x").symlink_to(elsewhere)
    with pytest.raises(InvalidRequest, match="is there already"):
        fetch(tmp_path / "x")
    fetch(tmp_path / "x", overwrite=True)
    assert elsewhere.read_text() == "mine"


def test_two_downloads_do_not_mix(tmp_path: Path) -> None:
    with Download(ID, tmp_path / "x"):
        with pytest.raises(InvalidRequest, match="another download"):
            Download(ID, tmp_path / "y")
        assert (tmp_path / f"{ID}.partial").exists()


def test_one_that_ends_while_another_begins_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def lock_late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        first.finish()
        first.close()
        lock(descriptor, operation)

    with Download(ID, tmp_path / "x") as first:
        for answer in WHOLE:
            first.take(answer)
        monkeypatch.setattr("fcntl.flock", lock_late)
        with Download(ID, tmp_path / "y", resume=False) as second:
            assert (tmp_path / "x").read_bytes() == DATA
            for answer in WHOLE:
                second.take(answer)
            assert second.finish().read_bytes() == DATA
    assert not (tmp_path / "x").samefile(tmp_path / "y")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([], "sent nothing"),
        ([HEAD], "0 of 10 bytes"),
        ([HEAD, piece(0, 4)], "4 of 10 bytes"),
        ([HEAD, piece(4, 10)], "at 4 where that at 0"),
        ([piece(0, 4)], "before it told"),
        (
            [HEAD, DownloadResponse(chunk=FileChunk(data=b"0123", crc32=7))],
            "at 0 was damaged",
        ),
        ([DownloadResponse(recording=Recording(id="other"))], "'other' instead of"),
        (
            [HEAD, DownloadResponse(recording=Recording(id=ID, sha256="00"))],
            "become another one",
        ),
        ([HEAD, piece(0, 10, b"9876543210")], "another checksum"),
    ],
)
def test_what_is_not_the_file_is_refused(
    answers: list[DownloadResponse], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    with pytest.raises(ServerError, match=told):
        fetch(path, answers)
    assert not path.exists()


def test_a_wrong_checksum_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(ServerError):
        fetch(tmp_path / "x", [HEAD, piece(0, 10, b"9876543210")])
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_file_has_is_given_up(tmp_path: Path) -> None:
    partial = tmp_path / f"{ID}.partial"
    partial.write_bytes(b"x" * 20)
    with pytest.raises(ServerError, match="something else"):
        fetch(tmp_path / "x", [HEAD])
    assert not partial.exists()
    partial.write_bytes(b"x" * 20)
    error = InvalidRequest("beyond the end")
    error.status = "OUT_OF_RANGE"
    with pytest.raises(PalomarError), Download(ID, tmp_path / "x"):
        raise error
    assert not partial.exists()


@pytest.mark.parametrize("name", ["", "../x", "/etc/passwd", "a/b", ".hidden", "a\0b"])
def test_names_from_the_server_are_checked(name: str, tmp_path: Path) -> None:
    head = DownloadResponse()
    head.recording.CopyFrom(RECORDING)
    head.recording.file_name = name
    with pytest.raises(ServerError, match="no name to write"):
        fetch(tmp_path, [head])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recording_id", ["", "../x", "Web", "a/b"])
def test_ids_are_checked(recording_id: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no id"):
        Download(recording_id, tmp_path)


def test_where_nothing_can_be_written_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file or directory"):
        Download(ID, tmp_path / "missing" / "x")
    with Download(ID, tmp_path / "x") as download:
        download.take(HEAD)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, download._file)
        os.close(full)
        with pytest.raises(InvalidRequest, match="No space left"):
            download.take(piece(0, 4))
        assert download.offset_bytes == 0
