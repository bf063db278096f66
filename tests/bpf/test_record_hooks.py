from __future__ import annotations

import dataclasses
import errno
import logging
import os
from typing import TYPE_CHECKING

import pytest

from palomar_bpf.errors import CaptureError
from palomar_bpf.links import Link
from palomar_bpf.record_hooks import RecordHooks
from palomar_bpf.testing import FakeTc

if TYPE_CHECKING:
    from palomar_bpf.attachment import Attachment

ETH0 = Link(2, "eth0", None, None, None, up=True, ethernet=True)
VETH = Link(7, "veth7", "veth", 0, 2, up=True, ethernet=True)
BOTH = {2: ETH0, 7: VETH}


@pytest.fixture
def tc() -> FakeTc:
    return FakeTc()


@pytest.fixture
def hooks(tc: FakeTc) -> RecordHooks:
    return RecordHooks(tc.attach)


def test_nothing_is_attached_until_somebody_wants_it(hooks: RecordHooks, tc: FakeTc) -> None:
    hooks.follow(BOTH)
    assert tc.attempts == []
    assert hooks.methods == {}


def test_only_what_is_wanted_is_attached(hooks: RecordHooks, tc: FakeTc) -> None:
    hooks.follow(BOTH)
    hooks.want({7, 99})
    assert tc.attached == ["veth7"]
    hooks.want(None)
    assert tc.attached == ["veth7", "eth0"]
    assert hooks.methods == {"veth7": "tcx", "eth0": "tcx"}
    hooks.want({2})
    assert tc.attached == ["eth0"]
    hooks.close()
    assert tc.attached == []


def test_a_link_that_comes_while_all_are_wanted_gets_the_programs(
    hooks: RecordHooks, tc: FakeTc
) -> None:
    hooks.want(None)
    hooks.follow({2: ETH0})
    hooks.follow(BOTH)
    assert tc.attached == ["eth0", "veth7"]
    hooks.follow({7: VETH}, gone={2})
    assert tc.attached == ["veth7"]


def test_a_new_link_with_the_index_of_one_that_went_gets_the_programs(
    hooks: RecordHooks, tc: FakeTc
) -> None:
    hooks.want(None)
    hooks.follow({7: VETH})
    hooks.follow({7: dataclasses.replace(VETH, name="other")}, gone={7})
    assert tc.attempts == ["veth7", "other"]
    assert tc.attached == ["other"]


def test_a_link_that_fails_is_told_once_and_tried_again_when_it_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tc = FakeTc(frozenset({"veth7"}))
    hooks = RecordHooks(tc.attach)
    hooks.want(None)
    hooks.follow(BOTH)
    hooks.follow(BOTH)
    assert tc.attempts == ["eth0", "veth7"]
    assert caplog.text.count("packets at interface veth7 are not recorded") == 1
    hooks.follow({7: dataclasses.replace(VETH, up=False)})
    assert tc.attempts == ["eth0", "veth7", "veth7"]


def test_a_link_that_failed_is_tried_for_the_next_recordings(tc: FakeTc) -> None:
    tc.broken = frozenset({"eth0"})
    hooks = RecordHooks(tc.attach)
    hooks.follow(BOTH)
    hooks.want(None)
    hooks.want(())
    tc.broken = frozenset()
    hooks.want(None)
    assert sorted(tc.attached) == ["eth0", "veth7"]


@pytest.mark.parametrize(("number", "told"), [(errno.ENODEV, 0), (errno.EPERM, 1)])
def test_of_a_link_that_has_just_gone_nobody_is_warned(
    number: int, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    def attach(link: Link) -> Attachment:
        raise CaptureError(f"attaching to {link.name}") from OSError(number, os.strerror(number))

    hooks = RecordHooks(attach)
    hooks.want(None)
    hooks.follow({7: VETH})
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == told
    assert hooks.methods == {}
