import pytest

from palomar.commands.invocation import Invocation
from palomar.fake_recordings import FakeRecordings
from palomar.recording_listing import show_recordings, stop_recordings
from palomar.testing import FakeObserver
from tests.client.recording_cases import counts


def invocation(server: FakeObserver) -> Invocation:
    return Invocation(flags={"server": server.target})


def test_there_may_be_more_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    recordings = FakeRecordings()
    with FakeObserver(recordings=recordings) as server:
        show_recordings(invocation(server), (), 0, as_json=False)
        shown = capsys.readouterr()
        assert "there are no recordings" in shown.err
        assert len(shown.out.splitlines()) == 1
        with invocation(server).client() as client:
            for _ in range(3):
                client.start_recording()
        show_recordings(invocation(server), ("running",), 2, as_json=False)
        shown = capsys.readouterr()
        assert "there are more than these 2" in shown.err
        assert len(shown.out.splitlines()) == 3


def test_stopped_ones_say_what_they_have(capsys: pytest.CaptureFixture[str]) -> None:
    recordings = FakeRecordings(counts=[counts(3, queue=2)])
    with FakeObserver(recordings=recordings) as server:
        with invocation(server).client() as client:
            ids = [client.start_recording(name=name).id for name in ("a", "b")]
        stop_recordings(invocation(server), ids, as_json=False)
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == (
        "a-00000000: 3 packets (2.1 KiB); 2 lost (sink queue 2); "
        "fetch them: palomar recordings download a-00000000"
    )
    assert shown.err.count("--recording-queue-bytes") == 2
