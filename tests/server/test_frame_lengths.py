from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palomar_server.frame_lengths import FrameLengths

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(length: int) -> bytes:
    return length.to_bytes(3, "big") + bytes(6 + length)


@given(st.lists(st.integers(0, 1 << 14), max_size=6), st.data())
def test_frames_that_fit_pass_however_they_are_cut(lengths: list[int], data: st.DataObject) -> None:
    stream = PREFACE + b"".join(frame(length) for length in lengths)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    follower = FrameLengths()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        assert follower.fit(stream[start:end])
    assert not follower.fit(b"\x00\x40\x01" + bytes(6))


def test_a_frame_is_refused_when_its_header_has_come() -> None:
    follower = FrameLengths()
    assert follower.fit(PREFACE + frame(5) + b"\xff\xff\xff" + bytes(5))
    assert not follower.fit(b"\x00")
