"""Runs the command line for cases of cli/cases.jsonl: `python -m tests.conformance.cli_worker`.

One case a line on standard input, what came of it a line on standard output. The program is loaded
once and forked for each case, since 900 new interpreters would take minutes. Nothing here may use
gRPC, only load it: see `cli_server`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import palomar.client
import palomar.observation
import palomar.printers  # noqa: F401 - loaded here, so that not every case has to
from palomar.cli import main
from tests.conformance.cli_server import serve

if TYPE_CHECKING:
    from collections.abc import Callable

_CASE_S_MAX = 30.0
_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "TZ": "UTC",
    "LANG": "C.UTF-8",
    "PALOMAR_STRICT_HUBBLE": "1",
}


class _Places:
    """The folders and the socket of one case, and their placeholders."""

    def __init__(self, root: Path, folder: str) -> None:
        self.cwd, self.home = root / "cwd", root / "home"
        self.socket = str(root / "hubble.sock")
        for path in (self.cwd, self.home):
            path.mkdir()
        self._texts = {
            "{DIR}": folder,
            "{SOCKET}": self.socket,
            "{CWD}": str(self.cwd),
            "{HOME}": str(self.home),
        }

    def fill(self, text: str) -> str:
        for placeholder, path in self._texts.items():
            text = text.replace(placeholder, path)
        return text

    def strip(self, text: str) -> str:
        for placeholder, path in self._texts.items():
            text = text.replace(path, placeholder)
        return text


def run(case: dict[str, Any], folder: str) -> dict[str, Any]:
    """Run one case and say what came of it, with the keys of a case."""
    with tempfile.TemporaryDirectory(prefix="plm-") as root:
        places = _Places(Path(root), folder)
        for name, text in (case.get("files") or {}).items():
            (places.cwd / name).write_text(places.fill(text), encoding="utf-8")
        asked = Path(root) / "asked.json"
        server = _start_server(case["server"], places.socket, asked) if case.get("server") else None
        try:
            exit_code = _run_program(case, places, Path(root), folder)
        finally:
            if server is not None:
                os.kill(server, signal.SIGTERM)
                os.waitpid(server, 0)
        result: dict[str, Any] = {"exit": exit_code}
        for name in ("stdout", "stderr"):
            data = (Path(root) / name).read_bytes()
            result[name] = places.strip(data.decode("utf-8", "backslashreplace"))
        if server is not None:
            result["requests"] = json.loads(asked.read_text(encoding="utf-8"))
        if "files_after" in case:
            result["files_after"] = _files(places, case["files_after"])
        return result


def _files(places: _Places, wanted: dict[str, str]) -> dict[str, str]:
    paths = {name: Path(places.fill(name)) for name in wanted}
    return {
        name: places.strip(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }


def _start_server(script: dict[str, Any], socket: str, asked: Path) -> int:
    read, write = os.pipe()
    child = _fork(lambda: serve(script, socket, asked, write))
    os.close(write)
    if os.read(read, 1) != b"r":
        raise RuntimeError("the server of the case did not start")
    os.close(read)
    return child


def _run_program(case: dict[str, Any], places: _Places, root: Path, folder: str) -> int:
    environment = _ENVIRONMENT | {
        "HOME": str(places.home),
        "XDG_CONFIG_HOME": str(places.home / ".config"),
        **{name: places.fill(value) for name, value in case["env"].items()},
    }
    given = case["stdin_file"]
    source = f"{folder}/{given}" if given else os.devnull

    def program() -> None:
        for number, path, flags in (
            (0, source, os.O_RDONLY),
            (1, str(root / "stdout"), os.O_WRONLY | os.O_CREAT),
            (2, str(root / "stderr"), os.O_WRONLY | os.O_CREAT),
        ):
            descriptor = os.open(path, flags, 0o600)
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(places.cwd)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        sys.argv = ["palomar", *map(places.fill, case["argv"])]
        main()

    child = _fork(program)
    watched = os.pidfd_open(child)
    if not select.select([watched], [], [], _CASE_S_MAX)[0]:
        os.kill(child, signal.SIGKILL)
    os.close(watched)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    return child or _work(work)


def _work(work: Callable[[], None]) -> NoReturn:
    """Do the work of a child and end without what a parent has still to do at exit."""
    code = 0
    try:
        work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - like the interpreter, which ends with 1
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)


def _loop() -> None:
    folder = sys.argv[1]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        try:
            result = run(json.loads(line), folder)
        except Exception as error:  # noqa: BLE001 - of the case; the next ones go on
            result = {"broken": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(result) + "\n")
        answers.flush()


if __name__ == "__main__":
    _loop()
