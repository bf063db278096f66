"""A connection to a server that tests can cut: a proxy between two unix sockets."""

import contextlib
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 65_536


class Cable:
    """Passes bytes on, in a `with` block.

    Args:
        target: Where the server listens, as `unix:PATH`.

    Attributes:
        target: Where to connect instead.
        connections: How many there were.
    """

    def __init__(self, target: str) -> None:
        self._server = target.removeprefix("unix:")
        self._folder = tempfile.TemporaryDirectory(prefix="palomar-")
        self._path = str(Path(self._folder.name) / "cable.sock")
        self.target = f"unix:{self._path}"
        self.connections = 0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._frozen: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def plug(self) -> None:
        """Let clients connect."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen()
        self._run(self._accept, self._listener)

    def unplug(self) -> None:
        """Cut every connection, and let nobody connect."""
        listener, self._listener = self._listener, None
        if listener is not None:
            Path(self._path).unlink()
            _end(listener)
        self.cut()

    def freeze(self) -> None:
        """Swallow what comes over the connections that there are, and leave them open."""
        with self._lock:
            self._frozen.update(self._open)

    def cut(self) -> None:
        """Cut every connection there is."""
        with self._lock:
            ends, self._open = self._open, []
        for end in ends:
            _end(end)

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                server.close()
                continue
            with self._lock:
                if self._listener is not listener:  # unplugged meanwhile
                    client.close()
                    server.close()
                    return
                self._open += (client, server)
                self.connections += 1
            self._run(self._pass_on, client, server)
            self._run(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                if source not in self._frozen:
                    to.sendall(chunk)
        _end(source)
        _end(to)

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unplug()
        for thread in self._threads:
            thread.join()
        self._folder.cleanup()


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
