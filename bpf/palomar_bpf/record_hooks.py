"""The interfaces that have the record programs on them.

In go the links that are observed, and which of them rules ask for; out come attachments. Called by
`palomar_bpf.packet_capture`, by one thread at a time.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

from palomar_bpf.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from palomar_bpf.attachment import Attachment
    from palomar_bpf.links import Link

logger = logging.getLogger(__name__)


class RecordHooks:
    """Keeps attachments in step with the observed links and with what is wanted of them.

    An interface that cannot be attached to is logged, and tried again once its link changes or it
    is wanted anew.

    Args:
        attach: Puts the programs on a link; raises CaptureError.
    """

    def __init__(self, attach: Callable[[Link], Attachment]) -> None:
        self._attach = attach
        self._links: dict[int, Link] = {}
        self._wanted: Collection[int] | None = ()
        self._attachments: dict[int, Attachment] = {}
        self._failed: dict[int, Link] = {}

    @property
    def methods(self) -> dict[str, str]:
        """Name of each interface that has the programs on it -> how they are attached."""
        return {
            attachment.link.name: attachment.method for attachment in self._attachments.values()
        }

    def follow(self, links: Mapping[int, Link], gone: Collection[int] = ()) -> None:
        """Note which links are observed now.

        Args:
            links: By index.
            gone: Indices whose link vanished, even if another link has one of them by now.
        """
        for ifindex in gone:
            self._failed.pop(ifindex, None)
            self._detach(ifindex)
        self._links = dict(links)
        self._adjust()

    def want(self, ifindexes: Collection[int] | None) -> None:
        """Say which interfaces rules ask for, as far as they are observed; None for all."""
        if not ifindexes:
            self._failed.clear()
        self._wanted = ifindexes
        self._adjust()

    def close(self) -> None:
        """Detach from everything."""
        self.want(())

    def _adjust(self) -> None:
        wanted = {
            ifindex: link
            for ifindex, link in self._links.items()
            if self._wanted is None or ifindex in self._wanted
        }
        for ifindex in [index for index in self._attachments if index not in wanted]:
            self._detach(ifindex)
        for ifindex, link in wanted.items():
            if ifindex in self._attachments or self._failed.get(ifindex) == link:
                continue
            try:
                self._attachments[ifindex] = self._attach(link)
                self._failed.pop(ifindex, None)
            except CaptureError as error:
                # A link that has just gone is no fault: the news of it is on the way.
                level = logging.DEBUG if _is_gone(error) else logging.WARNING
                text = "packets at interface %s are not recorded: %s"
                logger.log(level, text, link.name, error)
                self._failed[ifindex] = link

    def _detach(self, ifindex: int) -> None:
        attachment = self._attachments.pop(ifindex, None)
        if attachment is None:
            return
        try:
            attachment.detach()
        except CaptureError as error:
            logger.warning("%s", error)


def _is_gone(error: CaptureError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.ENODEV
