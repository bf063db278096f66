import os
import time
from pathlib import Path

import pytest

from palomar.errors import InvalidRequest, ServerUnavailable
from palomar.port_forward import PortForward

# Stands in for kubectl: notes how it was called, and behaves as its script says.
KUBECTL = """#!/bin/sh
echo "$@" >> "{folder}/calls"
case "$*" in
*" get "*) {get} ;;
*) echo $$ > "{folder}/pid"; {forward} ;;
esac
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    write(tmp_path)
    return tmp_path


def write(
    folder: Path,
    get: str = "printf 443",
    forward: str = "echo 'Forwarding from 127.0.0.1:4299 -> 4245'; exec sleep 60",
) -> None:
    script = folder / "kubectl"
    script.write_text(KUBECTL.format(folder=folder, get=get, forward=forward))
    script.chmod(0o755)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_kubectl_forwards_until_closed(kubectl: Path) -> None:
    with PortForward(namespace="cilium", context="prod", kubeconfig="/k", local_port=0) as forward:
        assert forward.open() == "127.0.0.1:4299"
        pid = int((kubectl / "pid").read_text())
        assert running(pid)
    assert not running(pid)
    forward.close()
    options = "--namespace=cilium --context=prod --kubeconfig=/k"
    assert (kubectl / "calls").read_text().splitlines() == [
        f"{options} get service hubble-relay --output=jsonpath={{.spec.ports[0].port}}",
        f"{options} port-forward --address=127.0.0.1 service/hubble-relay :443",
    ]


def test_local_port_may_be_chosen(kubectl: Path) -> None:
    with PortForward(local_port=5000) as forward:
        forward.open()
    assert (kubectl / "calls").read_text().endswith("service/hubble-relay 5000:443\n")


def test_reason_of_kubectl_is_passed_on(kubectl: Path) -> None:
    write(kubectl, get="echo 'Error: services \"hubble-relay\" not found' >&2; exit 1")
    with pytest.raises(ServerUnavailable, match=r'kubectl: Error: services "hubble-relay" not'):
        PortForward().open()
    write(kubectl, forward="echo 'error: unable to listen on port 4245' >&2; exit 1")
    with pytest.raises(ServerUnavailable, match="unable to listen on port 4245; check"):
        PortForward().open()
    write(kubectl, forward="exit 0")
    with pytest.raises(ServerUnavailable, match="did not say where it listens"):
        PortForward().open()


@pytest.mark.parametrize("answer", ["", "http", "0", "99999", "-1"])
def test_service_without_a_port_is_told(kubectl: Path, answer: str) -> None:
    write(kubectl, get=f"echo {answer}")
    with pytest.raises(ServerUnavailable, match="found no such service"):
        PortForward().open()


def test_without_kubectl_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidRequest, match="needs kubectl"):
        PortForward().open()


def test_kubectl_that_is_told_to_stop_and_does_not_is_killed(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palomar.port_forward._STOP_TIMEOUT_S", 0.2)
    write(
        kubectl,
        forward="trap '' TERM; echo 'Forwarding from 127.0.0.1:4299 -> 1'; "
        "while :; do sleep 1; done",
    )
    forward = PortForward()
    forward.open()
    pid = int((kubectl / "pid").read_text())
    forward.close()
    assert not running(pid)


def test_much_that_kubectl_writes_does_not_hold_it_up(kubectl: Path) -> None:
    # More than a pipe holds, on either output.
    write(
        kubectl,
        forward="echo 'Forwarding from 127.0.0.1:4299 -> 1'; i=0; while [ $i -lt 3000 ]; do "
        "echo 'Handling connection for 4245 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; "
        "echo 'noise xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' >&2; i=$((i+1)); done; "
        f"touch '{kubectl}/through'; exec sleep 60",
    )
    with PortForward() as forward:
        forward.open()
        deadline_s = time.monotonic() + 20
        while not (kubectl / "through").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
