import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palomar import input_lines
from palomar.input_lines import lines_backwards, lines_forwards


def forwards(content: bytes, bytes_max: int) -> list[bytes | None]:
    return list(lines_forwards(io.BytesIO(content), bytes_max))


def backwards(content: bytes, bytes_max: int, block_bytes: int) -> list[bytes | None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(input_lines, "_BLOCK_BYTES", block_bytes)
        return list(lines_backwards(io.BytesIO(content), bytes_max))[::-1]


def expected(content: bytes, bytes_max: int) -> list[bytes | None]:
    lines = content.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    return [line if len(line) <= bytes_max else None for line in lines]


@given(
    st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r", b"def\n", b"x" * 9])).map(b"".join),
    st.integers(1, 12),
    st.integers(1, 20),
)
@example(b"", 1, 1)
@example(b"\n", 1, 1)
@example(b"\n\n", 1, 2)
@example(b"a", 1, 1)
@example(b"aaaa", 1, 1)
@example(b"aaaa\n", 2, 3)
@example(b"\naaaa\n\n", 2, 1)
def test_lines_are_the_same_from_both_ends(
    content: bytes, bytes_max: int, block_bytes: int
) -> None:
    wanted = expected(content, bytes_max)
    assert forwards(content, bytes_max) == wanted
    assert backwards(content, bytes_max, block_bytes) == wanted


def test_the_last_lines_of_a_big_file_are_read_alone() -> None:
    class Counted(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.count += len(data)
            return data

    file = Counted(b"0123456789\n" * 1_000_000)
    lines = lines_backwards(file, 100)
    assert [next(lines) for _ in range(3)] == [b"0123456789"] * 3
    assert file.count < 1 << 20


def test_a_long_line_is_not_kept() -> None:
    content = b"a\n" + b"x" * (3 << 20) + b"\nb"
    assert forwards(content, 1 << 20) == [b"a", None, b"b"]
    assert list(lines_backwards(io.BytesIO(content), 1 << 20)) == [b"b", None, b"a"]
