"""Settings of packet recordings, which `settings` makes part of the whole."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from palomar_server.setting_types import DatabaseUrl, Pages

_Bytes = Annotated[int, Field(ge=0)]


class RecordingSettings(BaseModel):
    """What recordings may take."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
        # A traceback would show the password of database_url; `setting_sources` tells the others.
        hide_input_in_errors=True,
    )

    recordings_directory: Path = Path("/var/lib/palomar/recordings")
    """Directory of recorded packets; made with mode 0700 when it is first needed. Default: below
    /var/lib, where what a service keeps belongs, and survives a restart."""
    recordings_max: Annotated[int, Field(ge=0, le=64)] = 16
    """Recordings under way at once, streams included; 0 for none ever. Default 16: each costs CPU
    for every packet that may be its own."""
    recordings_max_bytes: _Bytes = 10 << 30
    """Bytes that all recorded files may have together. Default 10 GiB: no surprise on a node's
    disk."""
    recordings_free_min_bytes: _Bytes = 1 << 30
    """Bytes that recordings leave free in their file system, for others. Default 1 GiB: a node that
    runs out of disk evicts pods."""
    recordings_keep_s: Annotated[float, Field(ge=1, le=31_536_000)] = 7 * 86_400.0
    """Seconds after its end for which a recording is kept, at most. Default a week: packets may
    hold what must not lie around for ever."""
    recording_max_bytes: Annotated[int, Field(ge=1 << 12)] = 1 << 30
    """Size in bytes at which a recording ends. Default 1 GiB: more than people open in
    Wireshark."""
    recording_max_s: Annotated[float, Field(gt=0, le=31_536_000)] = 86_400.0
    """Seconds after which a recording ends, also one that waits for its trigger. Default a day:
    whoever forgot it has gone home."""
    recording_queue_bytes: Annotated[int, Field(ge=1 << 20)] = 64 << 20
    """Bytes of packets that may wait to be written, or sent, for one recording; more are lost and
    counted. Default 64 MiB: half a second of a disk that hangs, at 1 Gbit/s."""
    recording_before_max_bytes: Annotated[int, Field(ge=1 << 16)] = 16 << 20
    """Bytes of packets that a recording that waits for its trigger may keep in memory. Default
    16 MiB: two seconds at 64 Mbit/s."""
    record_pages_per_cpu: Pages = 2_048
    """Size of each CPU's perf ring for recorded packets in pages of memory, a power of two; there
    is none while nobody records. Default 2,048, usually 8 MiB: 128 packets of the largest size."""
    flight_recorder_bytes: _Bytes = 0
    """Bytes of the flight recorder: it keeps the heads of the last packets of all interfaces, so
    that a recording can begin before it was asked for. Default 0, off: it costs CPU for every
    packet all the time."""
    flight_recorder_snaplen_bytes: Annotated[int, Field(ge=64, le=65_000)] = 256
    """Bytes of each packet that the flight recorder keeps. Default 256: all headers, and the begin
    of what they carry."""
    database_url: DatabaseUrl = "sqlite+aiosqlite:////var/lib/palomar/palomar.db"
    """Database of the catalogue of recordings, as SQLAlchemy writes it: sqlite+aiosqlite:///PATH or
    postgresql+asyncpg://USER:PASSWORD@HOST/NAME; the environment is the place for a password.
    Default: a SQLite file beside the recordings."""
