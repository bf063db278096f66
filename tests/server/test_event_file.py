from __future__ import annotations

import contextlib
import os
import resource
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palomar_bpf.batch import Loss, LossKind, PayloadBatch
from palomar_server.event_file import EventFileError, EventFileReader, EventFileWriter
from palomar_server.event_frame import MAGIC, encode_batch, encode_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 1 << 30
LOSS = Loss(LossKind.PERF_RING, 3, 17)


def batch_of(*payloads: bytes, losses: tuple[Loss, ...] = ()) -> PayloadBatch:
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    return PayloadBatch(
        buffer=np.frombuffer(b"".join(payloads), np.uint8),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        cpus=np.arange(len(payloads), dtype=np.uint16),
        received_ns=1_700_000_000_000_000_000,
        losses=losses,
    )


def plain(item: PayloadBatch | dict[str, Any]) -> object:
    if isinstance(item, dict):
        return item
    payloads = [item.payload(i) for i in range(len(item))]
    return payloads, item.cpus.tolist(), item.received_ns, item.losses


def read_all(path: Path) -> list[object]:
    with EventFileReader(path) as reader:
        return [plain(item) for item in reader]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.plm"


@pytest.fixture
def writer(path: Path) -> Iterator[EventFileWriter]:
    writer = EventFileWriter(path, MANY)
    yield writer
    writer.close()


def test_everything_comes_back_in_order(path: Path, writer: EventFileWriter) -> None:
    items: list[PayloadBatch | dict[str, Any]] = [
        {"reasons": {"3": "NO_SOCKET"}},
        batch_of(b"abc", b"", b"defg"),
        {"links": {"2": None}},
        batch_of(b"x", losses=(LOSS, Loss(LossKind.RATE_LIMIT, 0, 2**40))),
        batch_of(losses=(LOSS,)),
    ]
    for item in items:
        if isinstance(item, dict):
            assert writer.write_context(item)
        else:
            assert writer.write_batch(item)
    assert read_all(path) == [plain(item) for item in items]
    assert writer.events_written == 4
    assert writer.size_bytes == path.stat().st_size


def test_a_batch_is_readable_before_the_file_is_closed(path: Path, writer: EventFileWriter) -> None:
    writer.write_batch(batch_of(b"abc"))
    assert len(read_all(path)) == 1


def test_only_the_owner_may_read(path: Path, writer: EventFileWriter) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_kept(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(EventFileError, match=r"events\.plm: exists already"):
        EventFileWriter(path, MANY)
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_symbolic_link_is_not_followed(path: Path, *, overwrite: bool) -> None:
    target = path.with_name("target")
    path.symlink_to(target)
    with pytest.raises(EventFileError):
        EventFileWriter(path, MANY, overwrite=overwrite)
    assert not target.exists()


def test_overwriting_makes_a_new_file(path: Path) -> None:
    path.write_bytes(b"old")
    other_name = path.with_name("other-name")
    os.link(path, other_name)
    EventFileWriter(path, MANY, overwrite=True).close()
    assert path.read_bytes() == MAGIC
    assert other_name.read_bytes() == b"old"


def test_what_is_no_regular_file_is_never_overwritten(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(EventFileError, match="no regular file"):
        EventFileWriter(path, MANY, overwrite=True)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match="cannot be made: No such file or directory"):
        EventFileWriter(tmp_path / "missing" / "events.plm", MANY)


def test_the_limit_ends_the_file_and_counts_what_comes_after(path: Path) -> None:
    first, large, small = batch_of(b"abc"), batch_of(*[b"x" * 100] * 5), batch_of(b"y")
    limit = len(MAGIC) + sum(map(len, encode_batch(first))) + 100
    writer = EventFileWriter(path, limit)
    assert writer.write_batch(first)
    assert not writer.write_batch(large)
    # It would fit, but the file would have a hole.
    assert not writer.write_batch(small)
    assert not writer.write_context({"a": 1})
    writer.close()
    assert (writer.events_written, writer.events_lost) == (1, 6)
    assert writer.stopped == f"the limit of {limit} bytes is reached"
    assert read_all(path) == [plain(first)]


def test_a_disk_error_is_kept_and_does_not_raise() -> None:
    writer = EventFileWriter.__new__(EventFileWriter)
    writer.size_bytes = writer.events_written = writer.events_lost = 0
    writer.stopped, writer._max_bytes = None, MANY
    writer._fd = os.open("/dev/full", os.O_WRONLY)
    assert not writer.write_batch(batch_of(b"abc", b"def"))
    assert writer.stopped == "cannot be written: No space left on device"
    assert writer.events_lost == 2
    writer.close()


def test_half_a_frame_is_cut_off_again(path: Path) -> None:
    # A file size limit lets the first part of a write through, as a filling disk does.
    code = f"""
import resource, signal
from pathlib import Path
import numpy as np
from palomar_bpf.batch import PayloadBatch
from palomar_server.event_file import EventFileReader, EventFileWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
one = np.array([2000])
batch = PayloadBatch(np.zeros(2000, np.uint8), one * 0, one, one.astype(np.uint16), 1)
writer = EventFileWriter(Path({str(path)!r}), 1 << 30)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
assert writer.write_batch(batch) and not writer.write_batch(batch)
writer.close()
reader = EventFileReader(Path({str(path)!r}))
assert len(list(reader)) == 1 and not reader.truncated
assert writer.stopped == "cannot be written: File too large", writer.stopped
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_closed_writer_counts_what_it_is_given(writer: EventFileWriter) -> None:
    writer.close()
    writer.close()
    assert not writer.write_batch(batch_of(b"abc"))
    assert (writer.stopped, writer.events_lost) == ("closed", 1)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_gives_what_is_whole(path: Path, data: st.DataObject) -> None:
    frames = [
        MAGIC,
        b"".join(encode_context({"a": 1})),
        b"".join(encode_batch(batch_of(b"abc", losses=(LOSS,)))),
        b"".join(encode_batch(batch_of(b"defg", b"h"))),
    ]
    whole = b"".join(frames)
    cut = data.draw(st.integers(len(MAGIC), len(whole)))
    path.write_bytes(whole[:cut])
    ends = np.cumsum([len(frame) for frame in frames])
    with EventFileReader(path) as reader:
        assert len(list(reader)) == int((ends <= cut).sum()) - 1
        assert reader.truncated == (cut not in ends)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_items_or_an_event_file_error(path: Path, data: bytes) -> None:
    for content in (data, MAGIC + data, MAGIC + b"\2\0\0\0" + data):
        path.write_bytes(content)
        with contextlib.suppress(EventFileError):
            read_all(path)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\1\0\0\0\xff\xff\xff\xff", "exceeds the maximum 67,108,864"),
        (b"\3\0\0\0\0\0\x20\0", "exceeds the maximum 1,048,576"),
        (b"\4\0\0\0\0\0\0\0", "no frame opens with the bytes 04 00 00 00"),
        (b"\1\0\1\0\2\0\0\0{}", "no frame opens with the bytes 01 00 01 00"),
        (b"\1\0\0\0\2\0\0\0[]", "a context is a JSON object"),
    ],
)
def test_damage_is_reported_with_its_place(path: Path, data: bytes, what: str) -> None:
    path.write_bytes(MAGIC + b"".join(encode_context({})) + data)
    with EventFileReader(path) as reader:
        assert next(reader) == {}
        with pytest.raises(EventFileError, match=what) as caught:
            next(reader)
    assert caught.value.offset == len(MAGIC) + 10


def test_losses_without_their_batch_are_damage(path: Path) -> None:
    loss_frame = b"".join(encode_batch(batch_of(losses=(LOSS,)))[:2])
    path.write_bytes(MAGIC + loss_frame + b"".join(encode_context({})))
    with pytest.raises(EventFileError, match="not followed by their batch"):
        read_all(path)


def test_a_huge_frame_is_refused_without_being_read(path: Path) -> None:
    path.write_bytes(MAGIC + b"\2\0\0\0\0\0\0\x7f")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EventFileError):
        read_all(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is no event file"),
        (MAGIC[:5], "is no event file"),
        (b"\xd4\xc3\xb2\xa1 pcap", "is no event file"),
        (b"PLMREC\x02\n", "is of version 2, and this program reads 1"),
    ],
)
def test_other_files_are_refused(path: Path, content: bytes, what: str) -> None:
    path.write_bytes(content)
    with pytest.raises(EventFileError, match=what):
        EventFileReader(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(EventFileError, match=r"events\.plm: cannot be opened: No such file"):
        EventFileReader(path)
