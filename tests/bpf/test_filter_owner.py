from __future__ import annotations

import subprocess
import sys

import pytest

from palomar_bpf.errors import CaptureError
from palomar_bpf.filter_owner import FilterOwner, has_owner

HOLD = """
import signal
from palomar_bpf.filter_owner import FilterOwner
owner = FilterOwner()
print(owner.mark, flush=True)
signal.pause()
"""


def test_a_mark_has_its_owner_until_that_is_closed() -> None:
    owner, other = FilterOwner(), FilterOwner()
    assert owner.mark != other.mark
    assert has_owner(owner.mark)
    assert has_owner(owner.mark)  # to ask takes nothing away
    owner.close()
    owner.close()
    assert not has_owner(owner.mark)
    assert has_owner(other.mark)
    other.close()


@pytest.mark.parametrize("mark", ["", "0" * 16, "short", "x" * 16, "0" * 200, "\0" * 16])
def test_what_nobody_made_has_no_owner(mark: str) -> None:
    assert not has_owner(mark)


def test_a_mark_goes_with_its_process() -> None:
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        mark = process.stdout.readline().strip()
        assert has_owner(mark)
        process.kill()
        process.wait(10)
    assert not has_owner(mark)


def test_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_mark: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("palomar_bpf.filter_owner._bound", refuse)
    with pytest.raises(CaptureError, match="marked as ours: Operation not permitted"):
        FilterOwner()
