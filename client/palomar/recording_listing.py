"""One run of a command of `palomar recordings`: what there is, in words or as JSON.

Called by `commands.recordings`.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from palomar.errors import InvalidRequest, PalomarError, ServerUnavailable
from palomar.interrupts import leaving_in_order
from palomar.output import standard_error, standard_output
from palomar.printers.escape import visible
from palomar.protojson import to_json
from palomar.quantities import bytes_text
from palomar.recording_run import STANDARD_OUTPUT, refuse_terminal
from palomar.recording_status import StatusLine
from palomar.recording_text import (
    loss_lines,
    recording_details,
    recordings_table,
    result_texts,
)

if TYPE_CHECKING:
    from palomar.client import Client
    from palomar.commands.invocation import Invocation
    from palomar_proto.palomar.v1.recordings_pb2 import Recording


def show_recordings(
    invocation: "Invocation", statuses: Sequence[str], limit: int, *, as_json: bool
) -> None:
    """Print the recordings of the node.

    Args:
        invocation: Makes the client.
        statuses: Only these; none for all.
        limit: How many at most; 0 leaves it to the server.
        as_json: Whether to print the answer as JSON.

    Raises:
        PalomarError: See `palomar.errors`; so for all functions here.
    """
    with invocation.client() as client:
        answer = client.recordings(*statuses, limit=limit)
    if as_json:
        _print(f"{to_json(answer)}\n")
        return
    _print(recordings_table(answer.recordings))
    if not answer.recordings:
        _tell("there are no recordings; palomar record makes one")
    if answer.truncated:
        _tell(f"there are more than these {len(answer.recordings):,}; raise --limit")


def show_recording(invocation: "Invocation", recording_id: str, *, as_json: bool) -> None:
    """Print all there is to say of one recording."""
    with invocation.client() as client:
        recording = client.recording(recording_id)
    _print(f"{to_json(recording)}\n" if as_json else recording_details(recording))


def stop_recordings(
    invocation: "Invocation", recording_ids: Sequence[str], *, as_json: bool
) -> None:
    """End recordings, as many as can be, and print what they have."""
    with invocation.client() as client:

        def stop(recording_id: str) -> None:
            recording = client.stop_recording(recording_id)
            for line in loss_lines(recording.counts):
                _tell(line)
            _print(f"{to_json(recording) if as_json else _stopped_text(recording)}\n")

        _each(recording_ids, stop, "stopped")


def delete_recordings(invocation: "Invocation", recording_ids: Sequence[str]) -> None:
    """Remove recordings and their files, as many as can be."""
    with invocation.client() as client:

        def delete(recording_id: str) -> None:
            client.delete_recording(recording_id)
            _print(f"{visible(recording_id)} deleted\n")

        _each(recording_ids, delete, "deleted")


def fetch_recording(
    invocation: "Invocation", recording_id: str, path: str, *, overwrite: bool
) -> None:
    """Download the file of a recording, and print where it is; `-` prints the file itself."""
    if path == STANDARD_OUTPUT:
        _print_file(invocation, recording_id)
        return
    with leaving_in_order(), invocation.client() as client:
        written = _fetch(client, recording_id, path or ".", overwrite=overwrite)
        size = bytes_text(written.stat().st_size)
    _print(f"{visible(str(written))} ({size})\n")


def _print_file(invocation: "Invocation", recording_id: str) -> None:
    """Write the file of a recording to standard output, once it came whole."""
    refuse_terminal(f"palomar recordings download {recording_id} -w - | tshark -r -")
    with (
        leaving_in_order(),
        tempfile.TemporaryDirectory(prefix="palomar-") as folder,
        invocation.client() as client,
    ):
        written = _fetch(client, recording_id, folder, overwrite=False)
        with written.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _fetch(client: "Client", recording_id: str, path: str, *, overwrite: bool) -> Path:
    """Download a file; returns where it is."""
    begun = False

    def note(there_bytes: int, whole_bytes: int) -> None:
        nonlocal begun
        begun = True
        status.downloaded(there_bytes, whole_bytes)

    with StatusLine(sys.stderr) as status:
        try:
            return client.download_recording(
                recording_id, path, overwrite=overwrite, on_progress=note
            )
        except InvalidRequest as error:
            if error.status or not begun:
                raise
            # The arguments were right when it began: a disk that is full is no matter of usage.
            raise PalomarError(str(error)) from error


def _each(recording_ids: Sequence[str], act: Callable[[str], None], done: str) -> None:
    """Do it to each recording, also to those behind one that the server refuses.

    Args:
        recording_ids: Which ones.
        act: What to do.
        done: What became of them, for the last word.

    Raises:
        PalomarError: It was refused for some; for one alone, the reason.
    """
    failed = 0
    for recording_id in recording_ids:
        try:
            act(recording_id)
        except ServerUnavailable:
            raise  # the next ones would only wait for the same
        except PalomarError as error:
            if len(recording_ids) == 1:
                raise
            failed += 1
            _tell(f"{visible(recording_id)} was not {done}: {visible(str(error))}")
    if failed:
        raise PalomarError(f"{failed:,} of {len(recording_ids):,} recordings were not {done}")


def _stopped_text(recording: "Recording") -> str:
    recording_id = visible(recording.id)
    text = f"{recording_id}: {'; '.join(result_texts(recording))}"
    if not recording.file_name:
        return text
    return f"{text}; fetch them: palomar recordings download {recording_id}"


def _print(text: str) -> None:
    output = standard_output()
    output.write(text)
    output.flush()


def _tell(text: str) -> None:
    standard_error().write(f"palomar: {text}\n")
