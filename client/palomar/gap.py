"""What a stream knows of the time between a connection that broke and the one after it."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A stream was interrupted and went on.

    palomard says exactly what is missing. Of Hubble and its relay one only sees whether what was
    read last is sent again: if so, they still had everything since then.
    """

    since: datetime | None
    """Time of the last event that was read before; `None` where it is not known."""
    until: datetime
    """When the stream went on, by the clock of this machine."""
    reason: str
    """What went wrong, in one line."""
    may_miss_flows: bool
    """Whether flows may be missing that happened in between; if false, none is."""
    lost_events: int | None
    """How many events were lost, whether or not they would have been asked for; `None` where
    nobody knows. `FlowStream.lost_events` has counted them as well."""
    restarted: bool = False
    """Whether the server is known to have been restarted in between."""
    nodes: tuple[str, ...] = ()
    """The nodes whose flows may be missing; none where it is not known which."""

    def __str__(self) -> str:
        since = _text(self.since) if self.since else "an unknown time"
        span = f"from {since} to {_text(self.until)}"
        if not self.may_miss_flows:
            return f"interrupted {span}: no flow is missing"
        what = "flows" if self.lost_events is None else f"up to {self.lost_events} flows"
        where = f" of {', '.join(self.nodes)}" if self.nodes else ""
        why = ", as the server was restarted" if self.restarted else ""
        return f"interrupted {span}: {what}{where} may be missing{why}"


def _text(when: datetime) -> str:
    """Write a time of UTC as the commands do."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03}Z"
