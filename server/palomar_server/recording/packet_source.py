"""Where recorded packets come from, as the dispatcher sees it.

`palomar_bpf.packet_capture.PacketCapture` is the kernel's; `testing.FakePacketSource` a test's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from palomar_bpf.capture_rule import CaptureRule
    from palomar_bpf.packet_batch import PacketBatch


class PacketSource(Protocol):
    """Packets that match one rule or several."""

    @property
    def snaplen_bytes_max(self) -> int:
        """How much of a packet can be had at most."""

    def set_rules(self, rules: Mapping[int, CaptureRule], snaplen_bytes: int) -> None:
        """Take packets by these rules from now on, each by its number, and by no others.

        Rules that stay are never interrupted. What a rule matched that went can still be read.

        Args:
            rules: by number; none takes no packet, and lets go of everything that costs.
            snaplen_bytes: how much of each packet is wanted, at most `snaplen_bytes_max`.

        Raises:
            CaptureError: the rules cannot be had; those from before are still there, or some.
        """

    def count_together(self, groups: Iterable[Collection[int]]) -> None:
        """Have a lost packet count for one rule only of those of a group that it matched.

        Args:
            groups: numbers of rules, also of some that are to be set.

        Raises:
            CaptureError: the kernel refuses.
        """

    def read(self, timeout_s: float | None) -> PacketBatch | None:
        """Wait for packets, and take all there are. From one thread.

        Args:
            timeout_s: how long to wait, s; None for as long as it takes.

        Returns:
            The packets; None when the time was up, or `wake` was called, and there were none.

        Raises:
            CaptureError: no more can be read.
        """

    def wake(self) -> None:
        """Make the `read` that is running, or else the next one, return. From any thread."""

    def lost(self) -> Mapping[int, tuple[int, int]]:
        """By rule number, the (packets, captured bytes) lost to a full ring since it was set."""
