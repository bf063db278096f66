import time

from palomar_bpf.boot_clock import boot_offset_ns


def test_kernel_time_plus_the_offset_is_wall_time() -> None:
    wall_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + boot_offset_ns()
    assert abs(wall_ns - time.time_ns()) < 10**9


def test_the_tightest_bracket_counts() -> None:
    """Reading takes 5 µs, but on the fourth try 20 ns."""
    now_ns, reads = 0, 0

    def clock_ns(clock: int) -> int:
        nonlocal now_ns, reads
        reads += 1
        now_ns += 10 if 9 < reads <= 12 else 2_500 if clock == time.CLOCK_BOOTTIME else 4_000
        return now_ns + (1_000_000 if clock == time.CLOCK_REALTIME else 0)

    assert boot_offset_ns(clock_ns) == 1_000_000
