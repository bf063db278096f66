"""What a hook costs and does, counted for each chain it is in.

Written by the thread that calls the hook, read by any: a reader may see one count before another.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class HookFigures:
    """Counts of one hook at one point, from the start of the daemon on."""

    calls: int = 0
    """Batches, requests or filters it was asked about; evaluations of its conditions as well."""
    rows: int = 0
    """Rows it was asked about; 0 where it sees none."""
    stopped: int = 0
    """Rows it stopped, of these; requests it refused."""
    errors: int = 0
    """Exceptions."""
    overruns: int = 0
    """Calls that took longer than the budget."""
    seconds: float = 0.0
    """Wall-clock time spent in it."""
