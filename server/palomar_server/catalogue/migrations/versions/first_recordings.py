"""Schema 0001: the table of recordings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_COUNTS = (
    "captured_packets",
    "captured_bytes",
    "written_packets",
    "written_bytes",
    "lost_packets",
)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "recordings",
        sa.Column("node_name", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("end", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("started_by", sa.Text, nullable=False),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger),
        sa.Column("expires_ns", sa.BigInteger),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("file_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("request_json", sa.Text, nullable=False),
        sa.Column("recording", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("node_name", "id", name="recordings_pkey"),
    )
    op.create_index("recordings_started", "recordings", ["node_name", "started_ns"])
    op.create_index("recordings_expiry", "recordings", ["node_name", "expires_ns"])


def downgrade() -> None:
    """Remove the table, and all entries with it."""
    op.drop_table("recordings")
