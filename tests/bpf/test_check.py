from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from palomar_bpf import check
from palomar_bpf.check import Finding, check_machine, missing
from palomar_bpf.errors import LoadError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["kernel", "btf", "libbpf", "bcc", "headers", "privileges", "symbols"]
NAMES += ["drops", "attachment"]


def finding(name: str) -> Finding:
    return next(found for found in check_machine() if found.name == name)


def test_everything_is_looked_at_once_and_in_order() -> None:
    assert [found.name for found in check_machine()] == NAMES


def test_missing_are_the_needed_ones_that_are_not_ok() -> None:
    findings = [
        Finding("a", ok=True, detail=""),
        Finding("b", ok=False, detail=""),
        Finding("c", ok=False, detail="", needed=False),
    ]
    assert missing(findings) == [findings[1]]


@pytest.mark.parametrize(
    ("capabilities", "lacks"),
    [
        ("0000000000000000", "lacks CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON, CAP_NET_BROADCAST"),
        ("0000000000001000", "lacks CAP_BPF, CAP_PERFMON, CAP_NET_BROADCAST"),
        ("000000c000000800", "lacks CAP_NET_ADMIN"),
        ("000000c000001000", "lacks CAP_NET_BROADCAST"),
        ("000000c000001800", ""),
        ("0000000000201800", ""),
        ("000001ffffffffff", ""),
    ],
)
def test_privileges_are_read_from_the_effective_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capabilities: str, lacks: str
) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapEff:\t{capabilities}\nCapBnd:\t000001ffffffffff\n")
    monkeypatch.setattr(check, "_STATUS", status)
    found = finding("privileges")
    assert found.ok == (not lacks)
    assert not lacks or found.detail == lacks


def test_hidden_symbols_are_told_and_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "KernelSymbols", list)
    found = finding("symbols")
    assert (found.ok, found.needed) == (False, False)
    assert "hides addresses" in found.detail
    assert "CAP_SYSLOG" in found.remedy


@pytest.mark.parametrize(
    ("release", "ok"),
    [("5.9.16", False), ("5.10.0-28-amd64", True), ("6.18.44", True), ("?", False)],
)
def test_kernel_is_judged_by_its_release(
    monkeypatch: pytest.MonkeyPatch, release: str, *, ok: bool
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    assert finding("kernel").ok == ok


def test_what_raises_is_a_finding_with_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise LoadError("no headers: apt install linux-libc-dev")

    monkeypatch.setattr(check, "find_headers", fail)
    found = finding("headers")
    assert not found.ok
    assert "apt install" in found.detail


def test_failed_load_is_a_finding_with_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise LoadError("the programs do not load: R2 is negative", log="first\nR2 is negative\n")

    monkeypatch.setattr(check, "load_programs", refuse)
    found = check_machine(try_load=True)[-1]
    assert (found.name, found.ok, found.needed) == ("load", False, True)
    assert "not load: R2 is negative" in found.detail or "BTF" in found.detail


@pytest.mark.live
def test_this_machine_loads_the_programs(live: None) -> None:
    findings = check_machine(try_load=True)
    assert missing(findings) == []
    assert findings[-1].name == "load"
