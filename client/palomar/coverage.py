"""What figures rest on: how far back the server remembers, and what it never got.

In: the `Coverage` of an answer. Out: lines for people, none where the figures are whole. Used by
the commands that show figures.
"""

from typing import TYPE_CHECKING

from palomar.quantities import count_text, time_text

if TYPE_CHECKING:
    from palomar_proto.palomar.v1.flow_scope_pb2 import Coverage


def coverage_lines(coverage: "Coverage") -> list[str]:
    """Say what the figures lack."""
    lines = []
    if not coverage.whole and coverage.HasField("oldest"):
        lines.append(
            f"the server remembers back to {time_text(coverage.oldest)} only; to keep more, "
            "raise --ring-capacity of palomard"
        )
    lost = sum(loss.events for loss in coverage.losses)
    if lost:
        lines.append(f"{count_text(lost)} events of that time were lost and are in no figure")
    if coverage.overwritten:
        lines.append(f"{count_text(coverage.overwritten)} events were overwritten while counting")
    if coverage.unread:
        lines.append(f"of {count_text(coverage.unread)} flows the records of applications are gone")
    return lines
