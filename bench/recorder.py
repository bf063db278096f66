"""How fast packets get from a sink's queue into a file, on one core."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bench.figure import Figure
from bench.ingest import one_core
from palomar_recorder.ending import Ending
from palomar_recorder.packets import LINKTYPE_ETHERNET, Interface, Packets
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.pcapng import PcapngEncoder
from palomar_recorder.sink import Sink
from palomar_recorder.stop_condition import StopCondition
from palomar_recorder.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from palomar_recorder.encoder import Encoder

FOLDER = Path(__file__).parents[1] / "build"
"""On a disk, where /tmp may be in memory."""
RUNS = 3
BATCH_PACKETS = 4_096
BATCHES = 16
"""Different ones, so that the packets are not in the processor's cache already."""
FILE_BYTES = 400 << 20
"""About what a run writes."""
HEAD_BYTES = 136
"""What stands before each packet as it comes from the kernel."""
QUEUE_BYTES = 64 << 20
NOTES = 100
SMALL_BYTES = 128
LARGE_BYTES = 1_500
MIXED_BYTES = (54, 66, 74, 128, 590, 1_514)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """What one file took."""

    packets: int
    packet_bytes: int
    written_s: float
    """Until all was written."""
    finished_s: float
    """Until all was on disk and the file had its checksum and name."""
    cpu_s: float


def batch(captured_bytes: NDArray[np.int64], seed: int) -> Packets:
    """Packets of these sizes as they come from the kernel, with a note each and two interfaces."""
    count = len(captured_bytes)
    random = np.random.default_rng(seed)
    offsets = np.cumsum(captured_bytes + HEAD_BYTES) - captured_bytes
    return Packets(
        random.integers(0, 256, int(offsets[-1] + captured_bytes[-1]), np.uint8),
        offsets,
        captured_bytes,
        captured_bytes,
        time.time_ns() + np.arange(count) * 1_000,
        random.integers(0, 2, count, np.uint32),
        random.integers(0, NOTES + 1, count, np.uint32),
        [Interface("eth0", LINKTYPE_ETHERNET), Interface("veth0", LINKTYPE_ETHERNET)],
        [
            "",
            *(f"default/client → default/web-{n} · to-endpoint · FORWARDED" for n in range(NOTES)),
        ],
    )


def record(batches: Sequence[Packets], new_encoder: Callable[[], Encoder], folder: Path) -> Run:
    """Write one file through a sink, without loss.

    Raises:
        RuntimeError: something was lost, or the file could not be finished.
    """
    storage = Storage(folder, max_bytes=1 << 40, free_min_bytes=0, file_max_bytes=1 << 40)
    encoder = new_encoder()
    target = storage.create("bench", encoder.suffix)
    one = Sink(
        encoder,
        target,
        snaplen_bytes=0,
        stop=StopCondition(),
        queue_bytes_max=QUEUE_BYTES,
        on_change=lambda: None,
        on_end=lambda: None,
    )
    sizes = [int(packets.captured_bytes.sum()) for packets in batches]
    rounds = max(1, FILE_BYTES // sum(sizes))
    offered_bytes = 0
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    one.start()
    for _ in range(rounds):
        for packets, size in zip(batches, sizes, strict=True):
            while offered_bytes - one.counts.written.bytes > QUEUE_BYTES // 4:
                time.sleep(0.001)
            one.offer(packets)
            offered_bytes += size
    while one.counts.written.bytes < offered_bytes and one.ending is None:
        time.sleep(0.0005)
    written_s = time.perf_counter() - started_s
    one.close(Ending.STOPPED)
    one.join()
    finished_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    storage.delete(target.file_name)
    counts = one.counts
    if counts.written != counts.captured or target.fault:
        raise RuntimeError(f"{counts} {one.message}")
    return Run(counts.written.packets, offered_bytes, written_s, finished_s, cpu_s)


def plain_write(batches: Sequence[Packets], folder: Path) -> Run:
    """Write the same file with as little as possible: bytes that are ready, in large pieces."""
    encoder = PcapEncoder(snaplen_bytes=0)
    pieces = [b"".join(map(bytes, encoder.encode(one))) for one in batches]
    size = sum(int(one.captured_bytes.sum()) for one in batches)
    rounds = max(1, FILE_BYTES // size)
    folder.mkdir(exist_ok=True)
    path = folder / "plain"
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    with path.open("xb", buffering=0) as file:
        for _ in range(rounds):
            for piece in pieces:
                file.write(piece)
        written_s = time.perf_counter() - started_s
        os.fsync(file.fileno())
    finished_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    path.unlink()
    return Run(rounds * sum(map(len, batches)), rounds * size, written_s, finished_s, cpu_s)


def measure(batches: Sequence[Packets], run: Callable[[Sequence[Packets], Path], T]) -> list[T]:
    """Some runs, after one to warm up, on one core."""
    FOLDER.mkdir(exist_ok=True)
    # What the figure before left to the disk is not this one's.
    os.sync()
    folder = Path(tempfile.mkdtemp(prefix="recorder-", dir=FOLDER))
    try:
        with one_core():
            return [run(batches, folder / "recordings") for _ in range(RUNS + 1)][1:]
    finally:
        shutil.rmtree(folder)


def pcap_run(batches: Sequence[Packets], folder: Path) -> Run:
    """A pcap file."""
    return record(batches, lambda: PcapEncoder(snaplen_bytes=0), folder)


def pcapng_run(batches: Sequence[Packets], folder: Path) -> Run:
    """A pcapng file."""
    return record(
        batches,
        lambda: PcapngEncoder(snaplen_bytes=0, comment="bench", node_name="default/bench"),
        folder,
    )


def uniform(captured_bytes: int) -> list[Packets]:
    """Batches of packets of one size."""
    sizes = np.full(BATCH_PACKETS, captured_bytes, np.int64)
    return [batch(sizes, seed) for seed in range(BATCHES)]


def mixed() -> list[Packets]:
    """Batches of the sizes that are usual on a network, in any order."""
    random = np.random.default_rng(1)
    return [
        batch(random.choice(MIXED_BYTES, BATCH_PACKETS).astype(np.int64), seed)
        for seed in range(BATCHES)
    ]


def figure(
    name: str,
    values: Sequence[float],
    unit: str,
    what: str,
    *,
    aim: str = "",
    hubble: str = "",
) -> Figure:
    """The median of the runs."""
    form = ",.3g" if max(values) < 1 else ",.0f"
    spread = f"{min(values):{form}} to {max(values):{form}} in {len(values)} runs"
    detail = f"{what}, one core; {spread}"
    return Figure(name, statistics.median(values), unit, detail, aim=aim, hubble=hubble)


def sink() -> list[Figure]:
    """A sink with the encoders and a file."""
    small = uniform(SMALL_BYTES)
    runs = measure(small, pcap_run)
    figures = [
        figure(
            "pcap_records_per_s",
            [run.packets / run.written_s for run in runs],
            "records/s",
            f"{SMALL_BYTES}-byte packets, queue, pcap and file, until written",
            aim="≥ 1,500,000",
            hubble="783,000 (bare writer 910,000)",
        ),
        figure(
            "pcap_finished_records_per_s",
            [run.packets / run.finished_s for run in runs],
            "records/s",
            "the same, until the file is on disk and has its checksum",
        ),
        figure(
            "pcap_cpu_s_per_million",
            [run.cpu_s / run.packets * 1e6 for run in runs],
            "CPU-s",
            "the same, with checksum",
            hubble="1.3",
        ),
    ]
    for name, batches, run_one, what in (
        ("pcapng_records_per_s", small, pcapng_run, f"{SMALL_BYTES}-byte packets with notes"),
        ("pcap_mixed_records_per_s", mixed(), pcap_run, "packets of 54 to 1,514 bytes"),
    ):
        rates = [run.packets / run.written_s for run in measure(batches, run_one)]
        figures.append(figure(name, rates, "records/s", f"{what}, until written"))
    return [*figures, *_large()]


def _large() -> list[Figure]:
    """Large packets beside what the disk takes, by turns."""
    batches = uniform(LARGE_BYTES)
    runs = measure(batches, lambda *to: (pcap_run(*to), plain_write(*to)))
    return [
        figure(
            name,
            [one.packet_bytes / one.written_s / 1e6 for one in column],
            "MB/s",
            f"{what}, until written",
            aim=aim,
        )
        for name, column, what, aim in (
            (
                "pcap_1500_mb_per_s",
                [recorded for recorded, _ in runs],
                f"{LARGE_BYTES:,}-byte packets",
                "≥ 1,000 or the next",
            ),
            (
                "plain_write_mb_per_s",
                [plain for _, plain in runs],
                "the same bytes by write() alone",
                "",
            ),
        )
    ]
