import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.records import RECORD_LOST, RECORD_SAMPLE, walk

LOST_RECORD = struct.pack("=IHHQQ", RECORD_LOST, 0, 24, 7, 3)


def sample(words: int, fill: bytes = b"\xab") -> bytes:
    size = words * 8
    head = struct.pack("=IHHI", RECORD_SAMPLE, 1, size, size - 12)
    return head + fill * (size - len(head))


def words(*records: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(records), dtype=np.uint64)


def expected(records: list[bytes]) -> tuple[list[int], list[int]]:
    starts, lengths, position = [], [], 0
    for record in records:
        if record[:4] == struct.pack("=I", RECORD_SAMPLE):
            starts.append(position)
            lengths.append(len(record) // 8)
        position += len(record) // 8
    return starts, lengths


def check(records: list[bytes]) -> None:
    found = walk(words(*records))
    starts, lengths = expected(records)
    assert found.starts.tolist() == starts
    assert found.words.tolist() == lengths
    assert found.lost == (LOST_RECORD in records)
    assert found.walked == sum(map(len, records)) // 8


def test_few_records_are_found() -> None:
    check([sample(30), sample(4), LOST_RECORD, sample(2)])


def test_many_records_of_one_size_are_found() -> None:
    check([sample(30)] * 1000)


def test_many_records_of_mixed_sizes_are_found() -> None:
    check([sample(15 + number % 17) for number in range(1000)])


def test_loss_records_among_many_are_left_out_and_noted() -> None:
    check([LOST_RECORD, *([sample(30)] * 500), LOST_RECORD, *([sample(29)] * 500), LOST_RECORD])


def test_packets_that_carry_forged_records_are_not_taken_for_records() -> None:
    forged = sample(3)
    record = sample(30, b"\0")
    record = record[:16] + forged + LOST_RECORD + record[16 + len(forged) + len(LOST_RECORD) :]
    check([record] * 999 + [sample(31)])


def test_records_of_unknown_types_are_stepped_over() -> None:
    throttle = struct.pack("=IHHQQQ", 5, 0, 32, 0, 0, 0)
    check([sample(30)] * 300 + [throttle] + [sample(29)] * 300)


def test_a_record_of_no_length_ends_the_walk() -> None:
    damaged = [sample(4), bytes(16)]
    found = walk(words(*damaged))
    assert found.starts.tolist() == [0]
    assert found.walked == 4


def test_a_record_that_reaches_beyond_the_end_ends_the_walk() -> None:
    whole = words(*([sample(30)] * 200))
    found = walk(whole[:-1])
    assert len(found.starts) == 199
    assert found.walked == 199 * 30


RECORDS = st.lists(
    st.one_of(
        st.builds(sample, st.integers(2, 40), st.sampled_from([b"\0", b"\x09", b"\xff"])),
        st.just(LOST_RECORD),
    ),
    min_size=1,
    max_size=40,
)


@given(records=RECORDS, repeat=st.integers(1, 30))
def test_any_chain_of_records_is_followed(records: list[bytes], repeat: int) -> None:
    check(records * repeat)


@given(noise=st.binary(min_size=8, max_size=400), repeat=st.integers(1, 100))
def test_any_bytes_are_walked_without_an_error(noise: bytes, repeat: int) -> None:
    stretch = np.frombuffer(noise[: len(noise) // 8 * 8] * repeat, dtype=np.uint64)
    found = walk(stretch)
    assert 0 <= found.walked <= len(stretch)
    assert (found.starts + found.words <= found.walked).all()
