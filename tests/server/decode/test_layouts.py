from __future__ import annotations

import numpy as np
import pytest

from palomar_bpf.payload import EXT_VERSION, EXTENSION, HEAD, MessageType
from palomar_server.decode.gather import Scratch
from palomar_server.decode.layouts import (
    CODE_MALFORMED,
    CODE_RARE,
    LAYOUTS,
    RARE_TYPES,
    Layout,
    classify,
)
from palomar_server.decode.malformed import Malformed
from palomar_server.testing import batch_of
from tests.server.decode.builders import message


def of(layout: Layout, version: int | None = None, ext_version: int | None = None) -> bytes:
    """A payload with this head alone."""
    known = EXT_VERSION if layout.ours else 0
    content = message(
        HEAD,
        type=layout.kind,
        version=layout.version or version or 0,
        ext_version=known if ext_version is None else ext_version,
    )
    return content.ljust(layout.dtype.itemsize, b"\0")


def codes_of(*payloads: bytes) -> tuple[list[int], list[int]]:
    """Code and fault of each payload."""
    batch = batch_of(payloads)
    codes, malformed = classify(batch, Scratch().padded(batch.buffer))
    return (
        [codes] * len(payloads) if isinstance(codes, int) else codes.tolist(),
        [0] * len(payloads) if malformed is None else malformed.tolist(),
    )


def test_heads_have_the_lengths_of_the_wire() -> None:
    extension = EXTENSION.itemsize
    versioned = [
        *((MessageType.TRACE, version, size) for version, size in enumerate((32, 48, 56))),
        *((MessageType.DROP, version, size) for version, size in enumerate((36, 36, 40, 48))),
    ]
    assert [(one.kind, one.version, one.ours, one.dtype.itemsize) for one in LAYOUTS] == [
        *((kind, version, False, size) for kind, version, size in versioned),
        *((kind, version, True, size + extension) for kind, version, size in versioned),
        (MessageType.POLICY_VERDICT, None, False, 40),
        (MessageType.DEBUG_CAPTURE, None, False, 24),
        (MessageType.TRACE_SOCK, None, False, 40),
    ]


@pytest.mark.parametrize("code", range(len(LAYOUTS)))
def test_a_layout_is_found_alone_and_among_others(code: int) -> None:
    payload = of(LAYOUTS[code])
    assert codes_of(payload) == ([code], [0])
    other = (code + 1) % len(LAYOUTS)
    beside = of(LAYOUTS[other])
    assert codes_of(beside, payload, beside) == ([other, code, other], [0, 0, 0])


@pytest.mark.parametrize("ext_version", [1, 2, 0x4F, 0x51, 255])
def test_extensions_of_others_have_no_length(ext_version: int) -> None:
    plain = [code for code, layout in enumerate(LAYOUTS) if layout.version is not None][:7]
    for code in plain:
        assert codes_of(of(LAYOUTS[code], ext_version=ext_version)) == ([code], [0])


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one.version is None])
def test_heads_without_versions_are_known_whatever_stands_in_that_place(layout: Layout) -> None:
    for version in (0, 1, 99, 255):
        code = LAYOUTS.index(layout)
        assert codes_of(of(layout, version)) == ([code], [0])
        assert codes_of(of(layout, version, EXT_VERSION)) == ([code], [0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_head_cut_anywhere_is_malformed(layout: Layout) -> None:
    whole = of(layout)
    code = LAYOUTS.index(layout)
    for length in range(1, len(whole)):
        short = (CODE_MALFORMED, Malformed.HEAD_TOO_SHORT)
        assert codes_of(whole[:length]) == ([short[0]], [short[1]])
        # What follows in the buffer is another payload's, so its bytes say nothing about this one.
        assert codes_of(whole[:length], whole) == ([short[0], code], [short[1], 0])


@pytest.mark.parametrize("kind", [MessageType.TRACE, MessageType.DROP])
@pytest.mark.parametrize("ext_version", [0, EXT_VERSION])
def test_versions_that_are_not_known_are_malformed(kind: int, ext_version: int) -> None:
    for version in (4, 128, 255):
        payload = message(HEAD, bytes(200), type=kind, version=version, ext_version=ext_version)
        assert codes_of(payload) == ([CODE_MALFORMED], [Malformed.UNKNOWN_VERSION])


def test_every_first_byte_is_decoded_rare_or_unknown() -> None:
    decoded = {layout.kind for layout in LAYOUTS}
    for kind in range(256):
        for length in (1, 60):
            [code], [fault] = codes_of(bytes([kind]).ljust(length, b"\0"))
            if kind in RARE_TYPES:
                assert (code, fault) == (CODE_RARE, 0)
            elif kind not in decoded:
                assert (code, fault) == (CODE_MALFORMED, Malformed.UNKNOWN_TYPE)
            elif length == 1:
                assert (code, fault) == (CODE_MALFORMED, Malformed.HEAD_TOO_SHORT)
            else:
                assert LAYOUTS[code].kind == kind


def test_nothing_is_empty_whatever_follows() -> None:
    whole = of(LAYOUTS[0])
    assert codes_of(b"") == ([CODE_MALFORMED], [Malformed.EMPTY])
    assert codes_of(b"", whole, b"") == (
        [CODE_MALFORMED, 0, CODE_MALFORMED],
        [Malformed.EMPTY, 0, Malformed.EMPTY],
    )


def test_a_sound_batch_costs_no_column_of_faults() -> None:
    batch = batch_of([of(LAYOUTS[0]), of(LAYOUTS[3])])
    codes, malformed = classify(batch, Scratch().padded(batch.buffer))
    assert isinstance(codes, np.ndarray)
    assert malformed is None
