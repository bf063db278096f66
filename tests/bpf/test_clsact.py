"""Which places are taken, against a fake netlink; tests/bpf/test_attachment.py has the kernel's."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from palomar_bpf.clsact import EGRESS_NAME, INGRESS_NAME, ClsactFilters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self


class FakeMessage(dict[str, Any]):
    """A netlink message with attributes."""

    def get_attr(self, name: str) -> Any:
        return self.get(name)


class FakeNetlink:
    """A clsact qdisc with filters by (parent, priority)."""

    def __init__(self) -> None:
        self.qdisc = False
        self.filters: dict[tuple[int, int], str] = {}
        self.handles: dict[tuple[int, int], object] = {}
        self.hidden: set[int] = set()
        """Priorities that are taken in the moment between looking and adding."""
        self.refusals: dict[str, int] = {}
        """Command or filter name -> errno."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tc(self, command: str, *where: object, **options: Any) -> None:
        refusal = self.refusals.get(command) or self.refusals.get(options.get("name", ""))
        if refusal:
            raise NetlinkError(refusal, "refused")
        place = (options.get("parent", 0), options.get("prio", 0))
        match command:
            case "add":
                if self.qdisc:
                    raise NetlinkError(errno.EEXIST, "File exists")
                self.qdisc = True
            case "del":
                self.qdisc = False
            case "add-filter":
                if place in self.filters or place[1] in self.hidden:
                    raise NetlinkError(errno.EEXIST, "File exists")
                self.filters[place] = options["name"]
                self.handles[place] = where[-1]
            case "del-filter":
                del self.filters[place]

    def get_filters(self, *, parent: int, **_place: object) -> Iterator[FakeMessage]:
        for (at, priority), name in sorted(self.filters.items()):
            if at == parent:
                attributes = {
                    "TCA_KIND": "bpf",
                    "TCA_OPTIONS": FakeMessage(TCA_BPF_NAME=name),
                }
                yield FakeMessage(
                    handle=self.handles[at, priority], info=priority << 16 | 0x0300, **attributes
                )


@pytest.fixture
def netlink(monkeypatch: pytest.MonkeyPatch) -> FakeNetlink:
    fake = FakeNetlink()
    monkeypatch.setattr("palomar_bpf.clsact.IPRoute", lambda: fake)
    return fake


def placed(netlink: FakeNetlink) -> dict[str, int]:
    return {name: priority for (_, priority), name in netlink.filters.items()}


def test_ingress_is_first_and_egress_last(netlink: FakeNetlink) -> None:
    filters = ClsactFilters(2, ingress_fd=3, egress_fd=4)
    assert placed(netlink) == {INGRESS_NAME: 1, EGRESS_NAME: 65_535}
    filters.remove()
    assert netlink.filters == {}
    assert not netlink.qdisc


def test_a_priority_taken_in_the_last_moment_is_passed_over(netlink: FakeNetlink) -> None:
    netlink.hidden = {1, 2, 65_535}
    ClsactFilters(2, ingress_fd=3, egress_fd=4)
    assert placed(netlink) == {INGRESS_NAME: 3, EGRESS_NAME: 65_534}


def test_a_qdisc_that_was_there_stays(netlink: FakeNetlink) -> None:
    netlink.qdisc = True
    ClsactFilters(2, ingress_fd=3, egress_fd=4).remove()
    assert netlink.qdisc


@pytest.mark.parametrize("refused", ["add-filter", INGRESS_NAME, EGRESS_NAME])
def test_a_refused_filter_leaves_nothing(netlink: FakeNetlink, refused: str) -> None:
    netlink.refusals = {refused: errno.EPERM}
    with pytest.raises(OSError, match="on interface 2: refused") as caught:
        ClsactFilters(2, ingress_fd=3, egress_fd=4)
    assert caught.value.errno == errno.EPERM
    assert netlink.filters == {}
    assert not netlink.qdisc


def test_a_refused_qdisc_says_so(netlink: FakeNetlink) -> None:
    netlink.refusals = {"add": errno.EOPNOTSUPP}
    with pytest.raises(OSError, match="clsact qdisc on interface 2"):
        ClsactFilters(2, ingress_fd=3, egress_fd=4)


def test_no_free_priority_is_an_error(netlink: FakeNetlink) -> None:
    netlink.hidden = set(range(1, 65_536))
    with pytest.raises(OSError, match="no priority is free"):
        ClsactFilters(2, ingress_fd=3, egress_fd=4)


def test_a_refused_deletion_is_an_error(netlink: FakeNetlink) -> None:
    filters = ClsactFilters(2, ingress_fd=3, egress_fd=4)
    netlink.refusals = {"del-filter": errno.EPERM}
    with pytest.raises(OSError, match="del-filter"):
        filters.remove()
