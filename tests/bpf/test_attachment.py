from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from palomar_bpf import attachment as attachment_module
from palomar_bpf import bpf_call, clsact
from palomar_bpf.attachment import RawTracepoint, attach, attach_recording
from palomar_bpf.clsact import (
    EGRESS_NAME,
    INGRESS_NAME,
    RECORD_EGRESS_NAME,
    RECORD_INGRESS_NAME,
)
from palomar_bpf.errors import BpfError, CaptureError
from palomar_bpf.filter_owner import FilterOwner
from palomar_bpf.links import Link

if TYPE_CHECKING:
    from collections.abc import Iterator

PROG_LOAD, PROG_QUERY = 5, 16
PROG_TYPE_SCHED_CLS = 3
TCX_INGRESS, TCX_EGRESS = 46, 47
INGRESS, EGRESS = 0xFFFF_FFF2, 0xFFFF_FFF3


def load() -> int:
    """A tc program that only returns TC_ACT_UNSPEC."""
    code = struct.pack("=BBhiBBhi", 0xB7, 0, 0, -1, 0x95, 0, 0, 0)
    held = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(b"GPL")
    addresses = ctypes.addressof(held), ctypes.addressof(license_)
    attributes = struct.pack("=IIQQ", PROG_TYPE_SCHED_CLS, 2, *addresses)
    return bpf_call._bpf(PROG_LOAD, "program of the test", attributes)


def program_id(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}") as lines:  # noqa: PTH123 - no file in a folder
        return next(int(line.split()[1]) for line in lines if line.startswith("prog_id:"))


def tcx_programs(ifindex: int, attach_type: int) -> list[int]:
    """Ids of the programs on a tcx hook in the order they run."""
    ids = (ctypes.c_uint32 * 16)()
    fields = (ifindex, attach_type, 0, 0, ctypes.addressof(ids), len(ids), 0, 0, 0, 0)
    attributes = struct.pack("=IIIIQIxxxxQQQQ", *fields)
    held = ctypes.create_string_buffer(attributes, len(attributes))
    result = bpf_call._libc.syscall(
        ctypes.c_long(bpf_call._number), PROG_QUERY, held, len(attributes)
    )
    if result < 0:
        assert ctypes.get_errno() == errno.ENOENT
        return []
    return list(ids[: struct.unpack_from("=I", held.raw, 24)[0]])


def filter_names(ifindex: int, parent: int) -> list[str]:
    """Names of the bpf filters on a clsact hook in the order they run."""
    with IPRoute() as netlink:
        return [place.name for place in clsact._filters(netlink, ifindex, parent)]


def has_clsact(ifindex: int) -> bool:
    with IPRoute() as netlink:
        kinds = [qdisc.get_attr("TCA_KIND") for qdisc in netlink.get_qdiscs(index=ifindex)]
    return "clsact" in kinds


@dataclass(frozen=True)
class FakePrograms:
    trace_ingress_fd: int
    trace_egress_fd: int
    record_ingress_fd: int = -1
    record_egress_fd: int = -1


@pytest.fixture
def programs(live: None) -> Iterator[FakePrograms]:
    fds = [load() for _ in range(4)]
    yield FakePrograms(*fds)
    for fd in fds:
        os.close(fd)


@pytest.fixture
def foreign(live: None) -> Iterator[int]:
    """Another tool's program."""
    fd = load()
    yield fd
    os.close(fd)


@pytest.fixture
def link(live: None) -> Iterator[Link]:
    name = f"pt-t{os.getpid() % 100_000}"
    pair = ("type", "veth", "peer", "name", name + "b")
    subprocess.run(["ip", "link", "add", name, *pair], check=True, timeout=10)
    yield Link(socket.if_nametoindex(name), name, "veth", None, None, up=True, ethernet=True)
    subprocess.run(["ip", "link", "del", name], check=False, capture_output=True, timeout=10)


def add_foreign_filter(link: Link, fd: int, priority: int) -> None:
    with IPRoute() as netlink:
        for parent in (INGRESS, EGRESS):
            netlink.tc(
                "add-filter",
                "bpf",
                link.ifindex,
                1,
                fd=fd,
                name="foreign",
                parent=parent,
                prio=priority,
                direct_action=True,
            )


@pytest.mark.live
def test_tcx_is_taken_where_the_kernel_has_it(programs: FakePrograms, link: Link) -> None:
    attachment = attach(programs, link)
    assert attachment.method == "tcx"
    assert attachment.link == link
    ingress, egress = program_id(programs.trace_ingress_fd), program_id(programs.trace_egress_fd)
    assert tcx_programs(link.ifindex, TCX_INGRESS) == [ingress]
    assert tcx_programs(link.ifindex, TCX_EGRESS) == [egress]
    attachment.detach()
    attachment.detach()
    assert tcx_programs(link.ifindex, TCX_INGRESS) == []
    assert tcx_programs(link.ifindex, TCX_EGRESS) == []


@pytest.mark.live
def test_tcx_goes_before_others_at_ingress_and_after_them_at_egress(
    programs: FakePrograms, link: Link, foreign: int
) -> None:
    others = [
        bpf_call.link_create_tcx(foreign, link.ifindex, egress=egress, before=False)
        for egress in (False, True)
    ]
    attachment = attach(programs, link, method="tcx")
    foreign_id = program_id(foreign)
    ingress, egress = program_id(programs.trace_ingress_fd), program_id(programs.trace_egress_fd)
    assert tcx_programs(link.ifindex, TCX_INGRESS) == [ingress, foreign_id]
    assert tcx_programs(link.ifindex, TCX_EGRESS) == [foreign_id, egress]
    attachment.detach()
    assert tcx_programs(link.ifindex, TCX_INGRESS) == [foreign_id]
    assert tcx_programs(link.ifindex, TCX_EGRESS) == [foreign_id]
    for fd in others:
        os.close(fd)


@pytest.mark.live
def test_what_records_goes_behind_what_tells(
    programs: FakePrograms, link: Link, foreign: int
) -> None:
    others = [
        bpf_call.link_create_tcx(foreign, link.ifindex, egress=egress, before=False)
        for egress in (False, True)
    ]
    tracing = attach(programs, link)
    recording = attach_recording(programs, link)
    trace, record, other = map(
        program_id, (programs.trace_ingress_fd, programs.record_ingress_fd, foreign)
    )
    assert tcx_programs(link.ifindex, TCX_INGRESS) == [trace, record, other]
    trace, record = map(program_id, (programs.trace_egress_fd, programs.record_egress_fd))
    assert tcx_programs(link.ifindex, TCX_EGRESS) == [other, trace, record]
    recording.detach()
    assert tcx_programs(link.ifindex, TCX_EGRESS) == [other, trace]
    tracing.detach()
    for fd in others:
        os.close(fd)


@pytest.mark.live
def test_what_records_goes_first_where_nothing_tells(
    programs: FakePrograms, link: Link, foreign: int
) -> None:
    other = bpf_call.link_create_tcx(foreign, link.ifindex, egress=False, before=False)
    recording = attach_recording(programs, link)
    ids = [program_id(programs.record_ingress_fd), program_id(foreign)]
    assert tcx_programs(link.ifindex, TCX_INGRESS) == ids
    tracing = attach(programs, link)
    assert tcx_programs(link.ifindex, TCX_INGRESS) == [program_id(programs.trace_ingress_fd), *ids]
    recording.detach()
    tracing.detach()
    os.close(other)


@pytest.mark.live
@pytest.mark.parametrize("first_to_go", ["tracing", "recording"])
def test_the_last_of_our_filters_takes_our_qdisc_away(
    programs: FakePrograms, link: Link, first_to_go: str
) -> None:
    tracing = attach(programs, link, method="clsact")
    recording = attach_recording(programs, link, method="clsact")
    assert filter_names(link.ifindex, INGRESS) == [INGRESS_NAME, RECORD_INGRESS_NAME]
    assert filter_names(link.ifindex, EGRESS) == [RECORD_EGRESS_NAME, EGRESS_NAME]
    order = [tracing, recording] if first_to_go == "tracing" else [recording, tracing]
    order[0].detach()
    assert has_clsact(link.ifindex)
    order[1].detach()
    assert not has_clsact(link.ifindex)


@pytest.mark.live
def test_leftovers_of_a_recording_are_removed_too(programs: FakePrograms, link: Link) -> None:
    attach(programs, link, method="clsact")
    attach_recording(programs, link, method="clsact")
    assert clsact.remove_leftovers([link.ifindex]) == 4
    assert not has_clsact(link.ifindex)


@pytest.mark.live
def test_clsact_makes_its_qdisc_and_takes_it_away(programs: FakePrograms, link: Link) -> None:
    attachment = attach(programs, link, method="clsact")
    assert attachment.method == "clsact"
    assert filter_names(link.ifindex, INGRESS) == [INGRESS_NAME]
    assert filter_names(link.ifindex, EGRESS) == [EGRESS_NAME]
    attachment.detach()
    attachment.detach()
    assert not has_clsact(link.ifindex)


@pytest.mark.live
@pytest.mark.parametrize("method", ["tcx", "clsact"])
def test_filters_that_were_there_before_stay(
    programs: FakePrograms, link: Link, foreign: int, method: attachment_module.AttachMethod
) -> None:
    with IPRoute() as netlink:
        netlink.tc("add", "clsact", link.ifindex)
    add_foreign_filter(link, foreign, priority=1)
    attachment = attach(programs, link, method=method)
    if method == "clsact":
        assert filter_names(link.ifindex, INGRESS) == ["foreign", INGRESS_NAME]
        assert filter_names(link.ifindex, EGRESS) == ["foreign", EGRESS_NAME]
    attachment.detach()
    assert filter_names(link.ifindex, INGRESS) == ["foreign"]
    assert filter_names(link.ifindex, EGRESS) == ["foreign"]


@pytest.mark.live
def test_filters_that_came_later_stay_and_keep_the_qdisc(
    programs: FakePrograms, link: Link, foreign: int
) -> None:
    attachment = attach(programs, link, method="clsact")
    add_foreign_filter(link, foreign, priority=10)
    assert filter_names(link.ifindex, INGRESS) == [INGRESS_NAME, "foreign"]
    assert filter_names(link.ifindex, EGRESS) == ["foreign", EGRESS_NAME]
    attachment.detach()
    assert filter_names(link.ifindex, INGRESS) == ["foreign"]
    assert filter_names(link.ifindex, EGRESS) == ["foreign"]


@pytest.mark.live
def test_a_filter_put_in_the_place_of_ours_stays(
    programs: FakePrograms, link: Link, foreign: int
) -> None:
    attachment = attach(programs, link, method="clsact")
    add_foreign_filter(link, foreign, priority=10)
    clsact.remove_leftovers([link.ifindex])
    add_foreign_filter(link, foreign, priority=1)
    attachment.detach()
    assert filter_names(link.ifindex, INGRESS) == ["foreign", "foreign"]


@pytest.mark.live
def test_leftovers_take_the_qdisc_that_was_made_for_them(
    programs: FakePrograms, link: Link
) -> None:
    attach(programs, link, method="clsact")
    assert clsact.remove_leftovers([link.ifindex]) == 2
    assert not has_clsact(link.ifindex)


@pytest.mark.live
def test_leftovers_are_removed_by_name(programs: FakePrograms, link: Link, foreign: int) -> None:
    attach(programs, link, method="clsact")
    add_foreign_filter(link, foreign, priority=10)
    assert clsact.remove_leftovers([link.ifindex + 1]) == 0
    assert clsact.remove_leftovers([link.ifindex]) == 2
    assert clsact.remove_leftovers([link.ifindex]) == 0
    assert filter_names(link.ifindex, INGRESS) == ["foreign"]


@pytest.mark.live
def test_filters_are_leftovers_once_their_owner_is_gone(programs: FakePrograms, link: Link) -> None:
    owner = FilterOwner()
    tracing = attach(programs, link, method="clsact", mark=owner.mark)
    attach_recording(programs, link, method="clsact", mark=owner.mark)
    assert filter_names(link.ifindex, INGRESS) == [
        f"{INGRESS_NAME}:{owner.mark}",
        f"{RECORD_INGRESS_NAME}:{owner.mark}",
    ]
    assert clsact.remove_leftovers([link.ifindex]) == 0
    tracing.detach()
    assert filter_names(link.ifindex, EGRESS) == [f"{RECORD_EGRESS_NAME}:{owner.mark}"]
    owner.close()
    assert clsact.remove_leftovers([link.ifindex]) == 2
    assert not has_clsact(link.ifindex)


@pytest.mark.live
@pytest.mark.parametrize("method", ["tcx", "clsact"])
def test_detaching_from_a_link_that_is_gone_is_no_error(
    programs: FakePrograms, link: Link, method: attachment_module.AttachMethod
) -> None:
    attachment = attach(programs, link, method=method)
    subprocess.run(["ip", "link", "del", link.name], check=True, timeout=10)
    attachment.detach()


@pytest.mark.live
@pytest.mark.parametrize("method", ["auto", "tcx", "clsact"])
def test_attaching_to_a_link_that_is_gone_says_so(
    programs: FakePrograms, link: Link, method: attachment_module.AttachMethod
) -> None:
    subprocess.run(["ip", "link", "del", link.name], check=True, timeout=10)
    with pytest.raises(CaptureError, match=f"attaching to {link.name}: .*No such device"):
        attach(programs, link, method=method)


@pytest.mark.live
def test_a_kernel_without_tcx_gets_filters(
    programs: FakePrograms, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise BpfError(errno.EINVAL, "bpf tcx link: Invalid argument")

    monkeypatch.setattr(attachment_module, "link_create_tcx", refuse)
    attachment = attach(programs, link)
    assert attachment.method == "clsact"
    attachment.detach()
    with pytest.raises(CaptureError, match="Invalid argument"):
        attach(programs, link, method="tcx")


@pytest.mark.live
@pytest.mark.parametrize("method", ["tcx", "clsact"])
def test_half_an_attachment_is_none(
    programs: FakePrograms, link: Link, method: attachment_module.AttachMethod
) -> None:
    broken = FakePrograms(programs.trace_ingress_fd, 1 << 20)
    with pytest.raises(CaptureError, match=link.name):
        attach(broken, link, method=method)
    assert tcx_programs(link.ifindex, TCX_INGRESS) == []
    assert not has_clsact(link.ifindex)


def test_a_tracepoint_is_left_and_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, int, int]] = []

    def open_one(name: str, prog_fd: int) -> int:
        fd = os.open("/dev/null", os.O_RDONLY)
        opened.append((name, prog_fd, fd))
        return fd

    monkeypatch.setattr(attachment_module, "raw_tracepoint_open", open_one)
    place = RawTracepoint("kfree_skb", 7)
    place.detach()
    for times in (1, 2):
        place.attach()
        place.attach()
        assert len(opened) == times
        place.detach()
        place.detach()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(opened[-1][2])
    assert {one[:2] for one in opened} == {("kfree_skb", 7)}
