from palomar.loss_report import LossReport
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, PERF_EVENT_RING_BUFFER, LostEvent


def lost(source: int, events: int, cpu: int | None = None) -> LostEvent:
    event = LostEvent(num_events_lost=events)
    event.source = source  # type: ignore[assignment]  # the enumeration is open
    if cpu is not None:
        event.cpu.value = cpu
    return event


def test_without_losses_there_is_nothing_to_tell() -> None:
    assert LossReport().lines() == []


def test_notices_are_summed_by_source_with_what_to_raise() -> None:
    report = LossReport()
    for cpu in (3, 0, 3):
        report.add(lost(PERF_EVENT_RING_BUFFER, 500, cpu), "default/node-1")
    report.add(lost(HUBBLE_RING_BUFFER, 7))
    first, perf, ring = report.lines()
    assert report.events == 1507
    assert first == "1,507 events were lost on default/node-1; flows may be missing:"
    assert perf.startswith("  1,500 ")
    assert "(CPU 0, 3)" in perf
    assert "--pages-per-cpu" in perf
    assert ring.startswith("  7 ")
    assert "--ring-capacity" in ring


def test_unknown_sources_are_told_too() -> None:
    report = LossReport()
    report.add(lost(4711, 2))
    assert "2 were lost at a stage that has no name here" in report.lines()[1]


def test_text_stays_short_and_safe_whatever_comes() -> None:
    report = LossReport()
    for number in range(100):
        report.add(lost(number + 5000, 1, number), f"n{number}\x1b[31m")
    lines = report.lines()
    assert len(lines) < 20
    assert "and 97 more" in lines[0]
    assert "\x1b" not in "".join(lines)
    assert report.events == 100


def test_numbers_of_cpus_are_kept_up_to_a_bound() -> None:
    report = LossReport()
    for cpu in range(5000):
        report.add(lost(PERF_EVENT_RING_BUFFER, 1, cpu))
    _, perf = report.lines()
    assert report.events == 5000
    assert "and 4088 more" in perf
