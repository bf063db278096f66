"""What could not be seen, so that nobody takes the answer for more than it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from palomar_server.explain.evidence import Evidence
    from palomar_server.explain.subject import Subject
    from palomar_server.explain.window import Window

_NS_PER_S = 1_000_000_000


def limits_of(
    subject: Subject, evidence: Evidence, window: Window, oldest_ns: int, rows_max: int
) -> list[str]:
    """Sentences, the most important first.

    Args:
        subject: the flow that is explained.
        evidence: what was found.
        window: where it was looked for.
        oldest_ns: time of the oldest event there, UTC ns.
        rows_max: how many events of the connection were looked at, at most.
    """
    found = []
    if subject.sequence is None:
        found.append(
            "The flow itself is not in this server's ring: what is said of it is what the request "
            "says."
        )
    if subject.connection is None:
        found.append("The packet has no IP addresses, so nothing can be joined with it.")
    if window.overwritten and oldest_ns:
        since = datetime.fromtimestamp(oldest_ns / _NS_PER_S, UTC).isoformat(timespec="seconds")
        found.append(f"The ring holds nothing before {since}; older events were overwritten.")
    if lost := window.lost_notices:
        found.append(
            f"Events were lost in the time looked at ({lost} notices): some may be missing."
        )
    if evidence.truncated:
        found.append(
            f"There are more events of this connection; the newest {rows_max:,} were looked at."
        )
    if np.count_nonzero(evidence.rows["packets"] > 1):
        found.append(
            "Aggregation is on: some events stand for several packets, whose flags and sizes are "
            "not known one by one."
        )
    found.append(
        "Only this node's events were looked at, and a connection that is translated on its way "
        "shows under other addresses elsewhere."
    )
    return found
