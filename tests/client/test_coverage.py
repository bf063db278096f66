from palomar.coverage import coverage_lines
from palomar_proto.palomar.v1.flow_scope_pb2 import Coverage


def test_whole_figures_need_no_words() -> None:
    assert coverage_lines(Coverage(whole=True, looked_at=5)) == []


def test_what_is_missing_is_told() -> None:
    coverage = Coverage(overwritten=2, unread=3)
    coverage.oldest.seconds = 1709634030
    coverage.losses.add(events=1000)
    coverage.losses.add(events=500)
    told = "\n".join(coverage_lines(coverage))
    for part in ("2024-03-05 10:20:30Z", "1,500 events", "2 events", "3 flows"):
        assert part in told
