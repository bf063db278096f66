"""Tables of the database, as they are in the newest schema.

`migrations` make them; a test holds the two together.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

METADATA = MetaData()

RECORDINGS = Table(
    "recordings",
    METADATA,
    Column("node_name", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("end", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("expires_ns", BigInteger),
    Column("captured_packets", BigInteger, nullable=False),
    Column("captured_bytes", BigInteger, nullable=False),
    Column("written_packets", BigInteger, nullable=False),
    Column("written_bytes", BigInteger, nullable=False),
    Column("lost_packets", BigInteger, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("file_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("request_json", Text, nullable=False),
    Column("recording", LargeBinary, nullable=False),
    PrimaryKeyConstraint("node_name", "id", name="recordings_pkey"),
    Index("recordings_started", "node_name", "started_ns"),
    Index("recordings_expiry", "node_name", "expires_ns"),
)
"""One row for each recording of each node. Status and end are in lower case, without the prefix of
their enumerations; times are UTC ns; `request_json` is what was asked for, and `recording` the
whole message `palomar.v1.Recording`, from which the other columns are made."""
