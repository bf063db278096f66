"""The interfaces that are observed: programs attached, and known to the kernel side.

In go the links there are and the endpoints that the server found behind them; out come attachments
and entries of the `interfaces` map. Called by `palomar_bpf.capture`, from its thread, from the link
watcher's and from the server's; a lock keeps them apart.
"""

from __future__ import annotations

import logging
import struct
import threading
from typing import TYPE_CHECKING

from palomar_bpf.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from palomar_bpf.attachment import Attachment
    from palomar_bpf.hash_map import U32Map
    from palomar_bpf.links import Link

logger = logging.getLogger(__name__)

_INTERFACE_REF = struct.Struct("=HBx")
"""endpoint_id, endpoint: must match struct interface_ref in programs/event.h."""


class ObservedInterfaces:
    """Keeps attachments in step with the links that are wanted.

    An interface that cannot be attached to is logged and counted, and tried again once it changes.
    While paused, interfaces are followed like ever, but none has programs on it.

    Args:
        interfaces: The map of that name.
        attach: Puts the programs on a link; raises CaptureError.
    """

    def __init__(self, interfaces: U32Map, attach: Callable[[Link], Attachment]) -> None:
        self._map = interfaces
        self._attach = attach
        self._lock = threading.Lock()
        self._attachments: dict[int, Attachment] = {}
        self._methods: dict[int, str] = {}  # kept while paused, when nothing is attached
        self._paused = False
        self._observed: dict[int, Link] = {}
        self._failures: dict[int, tuple[Link, str]] = {}
        self._endpoint_ids: dict[int, int] = {}

    @property
    def observed(self) -> dict[int, Link]:
        """By index, the links that have the programs on them, or will have once resumed."""
        with self._lock:
            return dict(self._observed)

    @property
    def methods(self) -> dict[str, str]:
        """Name of each observed interface -> how the programs are attached."""
        with self._lock:
            return {
                link.name: self._methods[index]
                for index, link in self._observed.items()
                if index in self._methods
            }

    @property
    def failures(self) -> dict[str, str]:
        """Name of each interface that is wanted, but could not be attached to -> why."""
        with self._lock:
            return {link.name: why for link, why in self._failures.values()}

    def follow(
        self, links: Mapping[int, Link], wanted: Collection[int], gone: Collection[int] = ()
    ) -> bool:
        """Attach to what is wanted, detach from what is not any more.

        Args:
            links: All links.
            wanted: The indices of those to observe.
            gone: Indices whose link vanished, even if another link has one of them by now.

        Returns:
            Whether anything about the observed links is different.
        """
        with self._lock:
            before = dict(self._observed)
            vanished = [ifindex for ifindex in gone if ifindex in before]
            for ifindex in gone:
                self._endpoint_ids.pop(ifindex, None)
                self._drop(ifindex)
            for ifindex in [index for index in self._observed if index not in wanted]:
                self._drop(ifindex)
            for ifindex in [index for index in self._failures if index not in wanted]:
                del self._failures[ifindex]
            for ifindex in sorted(wanted):
                if ifindex in links:
                    self._observe(links[ifindex])
            return bool(vanished) or before != self._observed

    def set_endpoint_id(self, ifindex: int, endpoint_id: int) -> None:
        """Note which endpoint is behind an interface, observed or not; 0 for none.

        Raises:
            BpfError: the kernel refused.
        """
        with self._lock:
            if endpoint_id:
                self._endpoint_ids[ifindex] = endpoint_id
            else:
                self._endpoint_ids.pop(ifindex, None)
            if ifindex in self._observed:
                self._enter(self._observed[ifindex])

    def pause(self) -> None:
        """Detach from everything, and go on following; idempotent."""
        with self._lock:
            self._paused = True
            for attachment in self._attachments.values():
                _detach(attachment)
            self._attachments.clear()

    def resume(self) -> bool:
        """Attach again to what is observed; idempotent.

        Returns:
            Whether the observed links are fewer than before, as some could not be attached to.
        """
        with self._lock:
            self._paused = False
            before = list(self._observed)
            for ifindex in before:
                if ifindex not in self._attachments:
                    self._put_on(self._observed[ifindex])
            return len(self._observed) < len(before)

    def close(self) -> None:
        """Detach from everything."""
        with self._lock:
            for ifindex in list(self._observed):
                self._drop(ifindex)

    def _observe(self, link: Link) -> None:
        """Attach to a link, or note what changed about one that has the programs already."""
        known = self._observed.get(link.ifindex)
        failed = self._failures.get(link.ifindex)
        if link == known or (failed is not None and link == failed[0]):
            return
        self._observed[link.ifindex] = link
        self._failures.pop(link.ifindex, None)
        self._put_on(link)

    def _put_on(self, link: Link) -> None:
        """Make the kernel side know the link as it is now, and attach to it if that is to be."""
        try:
            # Before the program runs, so that its first event already tells endpoint and network.
            self._enter(link)
            if not self._paused and link.ifindex not in self._attachments:
                attachment = self._attach(link)
                self._attachments[link.ifindex] = attachment
                self._methods[link.ifindex] = attachment.method
        except CaptureError as error:
            logger.warning("interface %s is not observed: %s", link.name, error)
            self._failures[link.ifindex] = (link, str(error))
            self._drop(link.ifindex)

    def _drop(self, ifindex: int) -> None:
        if self._observed.pop(ifindex, None) is None:
            return
        self._methods.pop(ifindex, None)
        attachment = self._attachments.pop(ifindex, None)
        if attachment is not None:
            _detach(attachment)
        self._forget(ifindex)

    def _enter(self, link: Link) -> None:
        endpoint_id = self._endpoint_ids.get(link.ifindex, 0)
        self._map.update(link.ifindex, _INTERFACE_REF.pack(endpoint_id, link.is_endpoint))

    def _forget(self, ifindex: int) -> None:
        try:
            self._map.delete(ifindex)
        except CaptureError as error:
            logger.warning("interface %d stays in its map: %s", ifindex, error)


def _detach(attachment: Attachment) -> None:
    try:
        attachment.detach()
    except CaptureError as error:
        logger.warning("%s", error)
