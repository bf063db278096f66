"""The fuzzer's targets on seeds, on seeds damaged by hypothesis, and on what it found before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import GOOD, PAYLOADS_MAX, TARGETS, batch, pack, unpack

if TYPE_CHECKING:
    from pathlib import Path

OWN = {target: list(seeds(target, corpus=None)) for target in TARGETS}

FOUND = [
    (
        "batch",
        (
            "004e000400e903000000002e0000002e00000000000000000000000000000000000000020000000002"
            "02000000000108004500002000000000408400000a00000ac00002019c4000500000000000000000"
        ),
        "SCTP beside TCP was held to TCP's rules",
    ),
]
"""Target, input in hex and what was wrong: what fuzzing found, mended since."""


@pytest.mark.parametrize("target", TARGETS)
def test_targets_hold_for_their_seeds(target: str) -> None:
    assert OWN[target]
    for seed in OWN[target]:
        TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
def test_targets_hold_for_the_corpus(target: str, shared: Path) -> None:
    corpus = list(seeds(target, shared / "conformance"))
    assert len(corpus) > len(OWN[target])
    for seed in corpus:
        TARGETS[target](seed)


@pytest.mark.parametrize(("target", "data", "_was"), FOUND)
def test_targets_hold_for_what_was_found(target: str, data: str, _was: str) -> None:
    TARGETS[target](bytes.fromhex(data))


@st.composite
def damaged(draw: st.DrawFn, target: str) -> bytes:
    """A seed with some bytes replaced, cut or repeated; or any bytes."""
    data = bytearray(draw(st.sampled_from(OWN[target])) if draw(st.integers(0, 9)) else b"")
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(len(data), at + 8)))
        data[at:end] = draw(st.binary(max_size=8))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


@pytest.mark.parametrize("target", TARGETS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_targets_hold_for_damaged_seeds(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(damaged(target)))


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_good_payloads_become_an_event_beside_every_other(number: int) -> None:
    batch(bytes((number,)))
    for one in GOOD:
        batch(bytes((number,)) + pack([one]))


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=PAYLOADS_MAX))
def test_payloads_pack_and_unpack(payloads: list[bytes]) -> None:
    assert unpack(pack(payloads)) == payloads


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff\xff", b"\x04\x00\x04", b"\x00\x00"])
def test_any_bytes_are_payloads(data: bytes) -> None:
    batch(data)


def test_targets_tell_different_outcomes_apart() -> None:
    told = {repr(batch(seed)) for seed in OWN["batch"]}
    assert len(told) > len(OWN["batch"]) // 2
