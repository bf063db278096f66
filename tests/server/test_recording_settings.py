from __future__ import annotations

import pytest
from pydantic import ValidationError

from palomar_server.recording_settings import RecordingSettings
from palomar_server.settings import Settings


def test_recordings_are_bounded_by_default() -> None:
    settings = RecordingSettings()
    assert settings.recording_max_bytes < settings.recordings_max_bytes
    assert settings.flight_recorder_bytes == 0


def test_they_are_settings_of_the_daemon() -> None:
    assert Settings().recordings_max == RecordingSettings().recordings_max


@pytest.mark.parametrize(
    "values",
    [
        {"recordings_max": 65},
        {"recordings_max_bytes": -1},
        {"recording_max_s": 0},
        {"recordings_keep_s": 0},
        {"recording_queue_bytes": 1},
        {"record_pages_per_cpu": 3},
        {"flight_recorder_snaplen_bytes": 63},
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        RecordingSettings.model_validate(values)
