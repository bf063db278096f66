"""A way into a Kubernetes cluster: `kubectl port-forward` to the relay, as long as it is needed.

In: where the relay is. Out: the local address to dial. The work is left to `kubectl`, which knows
how to log in to the cluster; it is started as a process of its own and stopped by `close`.
"""

import shutil
import subprocess
from collections import deque
from threading import Event, Thread
from typing import IO, Self

from palomar.errors import InvalidRequest, ServerUnavailable

RELAY_SERVICE = "hubble-relay"
"""Name of the service to forward to, as Cilium's installers call it."""

_KUBECTL = "kubectl"
_ADDRESS = "127.0.0.1"
_LOOKUP_TIMEOUT_S = 30.0
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_TEXT_CHARS_MAX = 300
_LINES_KEPT = 5
_READY = "Forwarding from "
_PORT_MAX = 65535


class PortForward:
    """A forwarded port; nothing happens before `open`.

    Args:
        namespace: Kubernetes namespace of the relay.
        context: Context of the Kubernetes configuration; empty for the current one.
        kubeconfig: Path of that configuration; empty for kubectl's own choice.
        local_port: Local port to listen on; 0 for any that is free.
    """

    def __init__(
        self,
        *,
        namespace: str = "kube-system",
        context: str = "",
        kubeconfig: str = "",
        local_port: int = 4245,
    ) -> None:
        self._namespace = namespace
        self._options = [
            f"--namespace={namespace}",
            *([f"--context={context}"] if context else []),
            *([f"--kubeconfig={kubeconfig}"] if kubeconfig else []),
        ]
        self._local_port = local_port
        self._process: subprocess.Popen[str] | None = None
        self._errors: deque[str] = deque(maxlen=_LINES_KEPT)
        self._address = ""
        self._told = Event()

    def open(self) -> str:
        """Start forwarding.

        Returns:
            The address to dial, as `HOST:PORT`.

        Raises:
            InvalidRequest: There is no kubectl.
            ServerUnavailable: kubectl could not do it.
        """
        kubectl = shutil.which(_KUBECTL)
        if kubectl is None:
            raise InvalidRequest(
                "--port-forward needs kubectl, which is not on the PATH; install it, or forward a "
                "port yourself and name it with --server"
            )
        port = self._service_port(kubectl)
        local = str(self._local_port or "")
        self._process = subprocess.Popen(  # noqa: S603 - the user's own kubectl, without a shell
            [kubectl, *self._options, "port-forward", f"--address={_ADDRESS}",
             f"service/{RELAY_SERVICE}", f"{local}:{port}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            # Ctrl-C is for us, who then end it in order.
            start_new_session=True,
        )  # fmt: skip
        try:
            return self._await_address(self._process)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop forwarding. May be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _service_port(self, kubectl: str) -> int:
        """The first port of the relay's service, which kubectl wants to be told."""
        try:
            asked = subprocess.run(  # noqa: S603 - as above
                [kubectl, *self._options, "get", "service", RELAY_SERVICE,
                 "--output=jsonpath={.spec.ports[0].port}"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                errors="backslashreplace", timeout=_LOOKUP_TIMEOUT_S,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failure("did not answer") from error
        port = asked.stdout.strip()
        if asked.returncode or not port.isdecimal() or not 0 < int(port[:6]) <= _PORT_MAX:
            raise self._failure(_last_line(asked.stderr) or "found no such service")
        return int(port)

    def _await_address(self, process: subprocess.Popen[str]) -> str:
        """Wait for kubectl to say where it listens.

        A thread each reads its outputs until it ends: it must never wait for us to.
        """
        assert process.stdout is not None  # noqa: S101 - asked for above
        assert process.stderr is not None  # noqa: S101 - likewise
        errors = Thread(target=self._read_errors, args=(process.stderr,), daemon=True)
        errors.start()
        Thread(target=self._read_output, args=(process.stdout,), daemon=True).start()
        self._told.wait(_START_TIMEOUT_S)
        if self._address:
            return self._address
        process.terminate()
        errors.join(_STOP_TIMEOUT_S)
        raise self._failure(self._errors[-1] if self._errors else "did not say where it listens")

    def _read_output(self, output: IO[str]) -> None:
        with output:
            for line in output:
                if line.startswith(_READY):
                    self._address = line.removeprefix(_READY).partition(" ")[0]
                    self._told.set()
        self._told.set()

    def _read_errors(self, errors: IO[str]) -> None:
        with errors:
            for line in errors:
                if text := line.strip():
                    self._errors.append(text[:_TEXT_CHARS_MAX])

    def _failure(self, reason: str) -> ServerUnavailable:
        return ServerUnavailable(
            f"cannot forward a port to service {RELAY_SERVICE} in namespace {self._namespace}: "
            f"kubectl: {reason}; check --kube-context and --kube-namespace"
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_TEXT_CHARS_MAX] if lines else ""
