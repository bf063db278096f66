"""The payloads of all cases in one batch become what they become alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.testing import Core
from tests.fuzz.seeds import corpus_payloads
from tests.fuzz.targets import CONTEXT, check_same, decode

if TYPE_CHECKING:
    from pathlib import Path


def test_payloads_do_not_touch_each_other(shared: Path) -> None:
    core = Core()
    core.surroundings.apply(CONTEXT)
    payloads = corpus_payloads(shared / "conformance")
    apart = [decode(core, [payload]) for payload in payloads]
    check_same(apart, decode(core, payloads))
    check_same(apart, decode(core, payloads[::-1]))
