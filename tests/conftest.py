"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, those that load programs share one.

    They would take each other's time with the kernel, and what they measure.
    """
    for item in items:
        if item.get_closest_marker("live") is not None:
            item.add_marker(pytest.mark.xdist_group("live"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that load programs must not begin to run beside each other because xdist changed."""
    grouped = item.config.getoption("loadgroup", default=False)
    if grouped and item.get_closest_marker("live") and not item.nodeid.endswith("@live"):
        pytest.fail(
            "pytest-xdist put this test into no group: install the versions that pyproject.toml "
            "asks for, or run with --numprocesses 0",
            pytrace=False,
        )


@pytest.fixture
def shared() -> Path:
    """The folder of design and conformance material beside the checkout; skips without it."""
    if not SHARED.is_dir():
        pytest.skip(f"no folder {SHARED.name} beside the checkout: conformance data is not there")
    return SHARED


@pytest.fixture(scope="session")
def live() -> None:
    """Ask for a machine where eBPF works: skip where it does not, or fail where it should.

    PALOMAR_REQUIRE_LIVE=1 says that it should.
    """
    from palomar_bpf.check import check_machine, missing  # noqa: PLC0415 - needs Linux

    # The kernel may refuse what capabilities promise, as in a rootless container: try.
    lacks = missing(check_machine(try_load=True))
    if not lacks:
        return
    text = "; ".join(f"{lack.name}: {lack.detail} {lack.remedy}".strip() for lack in lacks)
    if os.environ.get("PALOMAR_REQUIRE_LIVE") == "1":
        pytest.fail(f"live tests are required here, but: {text}")
    pytest.skip(f"no eBPF here: {text}")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith(("PALOMARD_", "HUBBLE_")) or name == "PALOMAR_SERVER":
            monkeypatch.delenv(name)
