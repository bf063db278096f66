from __future__ import annotations

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.ending import Ending, WriteError


def test_every_ending_of_the_api_is_one_here_and_the_other_way() -> None:
    names = {name.removeprefix("RECORDING_END_") for name in recordings_pb2.RecordingEnd.keys()}  # noqa: SIM118 - no mapping
    assert names - {"UNSPECIFIED"} == {ending.name for ending in Ending}


def test_only_what_nobody_wished_for_is_a_failure() -> None:
    failures = {ending for ending in Ending if ending.is_failure}
    assert failures == {Ending.QUOTA, Ending.DISK_FULL, Ending.ERROR}


def test_only_limits_of_space_leave_room_for_less() -> None:
    for_less = {ending for ending in Ending if ending.is_want_of_room}
    assert for_less == {Ending.FILE_SIZE, Ending.QUOTA, Ending.DISK_FULL}


def test_a_write_error_knows_how_the_recording_ends() -> None:
    error = WriteError(Ending.QUOTA, "too much")
    assert (error.ending, str(error)) == (Ending.QUOTA, "too much")
