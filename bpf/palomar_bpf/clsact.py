"""tc filters on the clsact qdisc, beside whatever filters others have there.

In go an interface's index and program descriptors; out come the places of our filters. Called by
`palomar_bpf.attachment` where the kernel has no tcx. Unlike tcx links, filters outlive the daemon,
so they carry names to be recognised by, with the mark of the daemon whose they are. Through
pyroute2: rtnetlink's RTM_…QDISC and RTM_…TFILTER (include/uapi/linux/rtnetlink.h, pkt_sched.h).
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from palomar_bpf.filter_owner import has_owner

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

logger = logging.getLogger(__name__)

INGRESS_NAME = "palomar_ingress"
EGRESS_NAME = "palomar_egress"
RECORD_INGRESS_NAME = "palomar_record_ingress"
RECORD_EGRESS_NAME = "palomar_record_egress"

_INGRESS, _EGRESS = 0xFFFF_FFF2, 0xFFFF_FFF3
"""Hooks of clsact: TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), … TC_H_MIN_EGRESS."""
_PARENTS = {
    INGRESS_NAME: _INGRESS,
    EGRESS_NAME: _EGRESS,
    RECORD_INGRESS_NAME: _INGRESS,
    RECORD_EGRESS_NAME: _EGRESS,
}
_PRIORITY_MAX = 0xFFFF
_HANDLE, _HANDLE_OWN_QDISC = 1, 2
"""Handles of our filters: the second says, also to a later daemon, that the qdisc is ours too."""
_GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.EINVAL})
"""Answers to a deletion after which there is nothing left to delete: EINVAL is for no qdisc."""


class Filter(NamedTuple):
    """Where a filter is."""

    ifindex: int
    name: str
    """What whoever made it called it; palomar's are one of _PARENTS, ":" and its owner's mark."""
    parent: int
    priority: int
    handle: int

    @property
    def kind(self) -> str:
        """The name without the mark."""
        return self.name.partition(":")[0]

    @property
    def mark(self) -> str:
        """Its owner's; empty for none."""
        return self.name.partition(":")[2]


class FilterNames(NamedTuple):
    """What a pair of our filters is called."""

    ingress: str
    egress: str


TRACE_NAMES = FilterNames(INGRESS_NAME, EGRESS_NAME)
RECORD_NAMES = FilterNames(RECORD_INGRESS_NAME, RECORD_EGRESS_NAME)


class ClsactFilters:
    """Two of our filters on one interface.

    The ingress program gets the first free priority, so that others' filters hide no packets from
    it, the egress program the last, so that it sees what really leaves.

    Args:
        ifindex: The interface.
        ingress_fd, egress_fd: tc programs that return TC_ACT_UNSPEC.
        names: The filters'.
        mark: Of their owner, see `palomar_bpf.filter_owner`; empty for none.

    Raises:
        OSError: the kernel refused; nothing of these is left on the interface then.
    """

    def __init__(
        self,
        ifindex: int,
        *,
        ingress_fd: int,
        egress_fd: int,
        names: FilterNames = TRACE_NAMES,
        mark: str = "",
    ) -> None:
        self._ifindex = ifindex
        self._filters: list[Filter] = []
        with IPRoute() as netlink:
            # Whichever of our filters is the last to go takes a qdisc of ours along.
            self._own_qdisc = _add_qdisc(netlink, ifindex) or _is_own_qdisc(netlink, ifindex)
            handle = _HANDLE_OWN_QDISC if self._own_qdisc else _HANDLE
            try:
                for kind, fd in zip(names, (ingress_fd, egress_fd), strict=True):
                    name = f"{kind}:{mark}" if mark else kind
                    self._filters.append(_add_filter(netlink, ifindex, name, fd, handle))
            except Exception:
                self._remove(netlink)
                raise

    def remove(self) -> None:
        """Delete the filters, and the qdisc if it was made for them and nobody else uses it.

        An interface or filter that is gone already is no error.

        Raises:
            OSError: the kernel refused.
        """
        with IPRoute() as netlink:
            self._remove(netlink)

    def _remove(self, netlink: Any) -> None:
        for place in self._filters:
            # Somebody may have put a filter of theirs in its place.
            if place in _filters(netlink, self._ifindex, place.parent):
                _delete(netlink, place)
        self._filters.clear()
        if self._own_qdisc:
            _remove_unused_qdisc(netlink, self._ifindex)


def remove_leftovers(ifindexes: Collection[int]) -> int:
    """Delete the filters that an earlier, killed daemon left, not those of one that runs.

    So is a qdisc that it made and nobody else has put a filter on.

    Args:
        ifindexes: The interfaces to clean.

    Returns:
        How many filters were deleted.

    Raises:
        OSError: the kernel refused.
    """
    removed = 0
    with IPRoute() as netlink:
        candidates = {
            qdisc["index"]
            for qdisc in netlink.get_qdiscs()
            if qdisc.get_attr("TCA_KIND") == "clsact"
        }
        for ifindex in candidates.intersection(ifindexes):
            own_qdisc = False
            for name, parent in _PARENTS.items():
                for place in list(_filters(netlink, ifindex, parent)):
                    if place.kind == name and not has_owner(place.mark):
                        _delete(netlink, place)
                        logger.info("deleted a leftover filter: %s", place)
                        removed += 1
                        own_qdisc |= place.handle == _HANDLE_OWN_QDISC
            if own_qdisc:
                _remove_unused_qdisc(netlink, ifindex)
    return removed


def _add_qdisc(netlink: Any, ifindex: int) -> bool:
    """Make sure of a clsact qdisc; whether it had to be made."""
    try:
        netlink.tc("add", "clsact", ifindex)
    except NetlinkError as error:
        if error.code == errno.EEXIST:
            return False
        raise _refusal(error, f"clsact qdisc on interface {ifindex}") from error
    return True


def _is_own_qdisc(netlink: Any, ifindex: int) -> bool:
    """Whether a filter of ours says that we made the qdisc."""
    return any(
        place.kind in _PARENTS and place.handle == _HANDLE_OWN_QDISC
        for parent in (_INGRESS, _EGRESS)
        for place in _filters(netlink, ifindex, parent)
    )


def _remove_unused_qdisc(netlink: Any, ifindex: int) -> None:
    """Delete the clsact qdisc unless somebody has a filter on it."""
    hooks = (_INGRESS, _EGRESS)
    if not any(True for parent in hooks for _ in _filters(netlink, ifindex, parent)):
        _ignoring_absence(netlink, "del", "clsact", ifindex)


def _add_filter(netlink: Any, ifindex: int, name: str, prog_fd: int, handle: int) -> Filter:
    """Add a filter at the first or last priority that nobody has."""
    parent = _PARENTS[name.partition(":")[0]]
    taken = {place.priority for place in _filters(netlink, ifindex, parent)}
    priorities = range(1, _PRIORITY_MAX + 1)
    for priority in priorities if parent == _INGRESS else reversed(priorities):
        if priority in taken:
            continue
        try:
            netlink.tc(
                "add-filter",
                "bpf",
                ifindex,
                handle,
                fd=prog_fd,
                name=name,
                parent=parent,
                prio=priority,
                direct_action=True,
            )
        except NetlinkError as error:
            if error.code != errno.EEXIST:  # else somebody has just taken it
                raise _refusal(error, f"filter {name} on interface {ifindex}") from error
        else:
            return Filter(ifindex, name, parent, priority, handle)
    raise OSError(errno.EEXIST, f"no priority is free for filter {name} on interface {ifindex}")


def _filters(netlink: Any, ifindex: int, parent: int) -> Iterator[Filter]:
    """All filters on one hook, whoever's; none if the interface is gone."""
    try:
        for message in netlink.get_filters(index=ifindex, parent=parent):
            if message["handle"]:  # 0: the head of a priority, not a filter
                options = message.get_attr("TCA_OPTIONS")
                is_bpf = message.get_attr("TCA_KIND") == "bpf" and options is not None
                name = options.get_attr("TCA_BPF_NAME") if is_bpf else None
                yield Filter(ifindex, name or "", parent, message["info"] >> 16, message["handle"])
    except NetlinkError as error:
        if error.code not in _GONE:
            raise _refusal(error, f"listing filters on interface {ifindex}") from error


def _delete(netlink: Any, place: Filter) -> None:
    _ignoring_absence(
        netlink,
        "del-filter",
        "bpf",
        place.ifindex,
        place.handle,
        parent=place.parent,
        prio=place.priority,
    )


def _ignoring_absence(netlink: Any, *command: Any, **options: Any) -> None:
    try:
        netlink.tc(*command, **options)
    except NetlinkError as error:
        if error.code not in _GONE:
            raise _refusal(error, f"tc {command[0]} on interface {command[2]}") from error


def _refusal(error: NetlinkError, what: str) -> OSError:
    return OSError(error.code, f"{what}: {error.args[1]}")
