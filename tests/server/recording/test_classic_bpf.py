from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_server.recording.classic_bpf import (
    INSTRUCTION,
    INSTRUCTIONS_MAX,
    check_program,
    run,
)
from tests.server.recording.pcap_reference import accepts
from tests.server.recording.random_packets import packets_of

RET_A, LD_WORD, LD_IMM = 0x16, 0x20, 0x00
_LOADS = [*(0x20, 0x28, 0x30, 0x40, 0x48, 0x50), *(0x00, 0x60, 0x80), *(0x01, 0x61, 0x81, 0xB1)]
_PLAIN = [*_LOADS, 0x02, 0x03, 0x07, 0x87, 0x84]
_PLAIN += [0x04 | one | x for one in range(0, 0xB0, 0x10) if one != 0x80 for x in (0, 8)]
_JUMPS = [0x05 | jump | x for jump in (0x10, 0x20, 0x30, 0x40) for x in (0, 8)]
_NUMBERS = st.one_of(
    st.integers(0, 20),
    st.sampled_from((31, 32, 33, 255, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)),
)


def program(*instructions: tuple[int, int, int, int]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    return np.array(list(instructions), INSTRUCTION)


@st.composite
def programs(draw: st.DrawFn) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Any that libpcap's interpreter takes, but for shifts and divisions it has no answer to."""
    # Cells that nothing was put into have any value there.
    made: list[tuple[int, int, int, int]] = [(0x02, 0, 0, cell) for cell in range(16)]
    count = draw(st.integers(1, 16))
    for at in range(count):
        room = count - at
        code = draw(st.sampled_from([*_PLAIN, *_JUMPS, 0x05, 0x06, 0x16]))
        k = draw(_NUMBERS)
        jt, jf = draw(st.integers(0, room)), draw(st.integers(0, room))
        if code == 0x05:
            k = draw(st.integers(0, room))
        elif code in (0x60, 0x61, 0x02, 0x03):
            k %= 16
        elif code in (0x34, 0x94) and k == 0:
            k = 1
        elif code in (0x64, 0x74):
            k %= 32
        made.append((code, jt, jf, k))
    made.extend([(RET_A, 0, 0, 0), (RET_A, 0, 0, 0)])
    return program(*made)


@settings(max_examples=60, deadline=None)
@given(programs(), st.lists(st.binary(max_size=24), min_size=1, max_size=8))
def test_it_decides_as_libpcap_does(
    made: np.ndarray[tuple[int], np.dtype[np.void]], frames: list[bytes]
) -> None:
    check_program(made)
    packets = packets_of(frames)
    assert run(made, packets).tolist() == [accepts(made, one, len(one)) for one in frames]


def test_what_was_not_captured_cannot_be_loaded_but_counts_as_length() -> None:
    packets = packets_of([b"\1" * 8, b"\1" * 8], captured=[3, 4])
    assert run(program((LD_WORD, 0, 0, 0), (RET_A, 0, 0, 0)), packets).tolist() == [False, True]
    length_is_8 = program((0x80, 0, 0, 0), (0x15, 0, 1, 8), (6, 0, 0, 1), (6, 0, 0, 0))
    assert run(length_is_8, packets).tolist() == [True, True]


def test_no_packets_have_an_empty_mask() -> None:
    assert run(program((6, 0, 0, 1)), packets_of([])).tolist() == []


@pytest.mark.parametrize(
    ("instructions", "text"),
    [
        ([], "has 0 instructions"),
        ([(LD_IMM, 0, 0, 0)] * (INSTRUCTIONS_MAX + 1), "4097 instructions; 1 to 4096"),
        ([(0xFF, 0, 0, 0), (6, 0, 0, 0)], "instruction 0 has the code 0xff"),
        ([(0x05, 0, 0, 0xFFFF_FFFF), (6, 0, 0, 0)], "instruction 0 jumps backwards"),
        ([(0x15, 0, 1, 0), (6, 0, 0, 0)], "instruction 0 jumps"),
        ([(0x02, 0, 0, 16), (6, 0, 0, 0)], "memory cell 16"),
        ([(LD_IMM, 0, 0, 0)], "the last instruction does not return"),
    ],
)
def test_a_program_that_cannot_be_run_is_refused(
    instructions: list[tuple[int, int, int, int]], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        check_program(program(*instructions))
