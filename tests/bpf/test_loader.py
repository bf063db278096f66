from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from palomar_bpf import loader
from palomar_bpf.btf import KernelBtf
from palomar_bpf.errors import LoadError
from palomar_bpf.loader import ProgramOptions, Programs, load_programs, source, verdict
from palomar_bpf.macros import macros

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = ProgramOptions(host_netns=1, connections_max=64)


@pytest.fixture
def btf(live: None) -> Iterator[KernelBtf]:
    with KernelBtf() as opened:
        yield opened


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are what is wanted


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", ""),
        ("0: (85) call x\nR2 is negative\nprocessed 3 insns (limit 9)\n\n", "R2 is negative"),
        (
            "a.c:1:2: error: one\n ^\na.c:3:4: error: two\n2 errors generated.\n",
            "a.c:1:2: error: one",
        ),
        ("could not open bpf map: m, error: Operation not permitted\n",) * 2,
        ("processed 3 insns (limit 9)\n", ""),
        ("x" * 1000, "x" * 200),
    ],
)
def test_verdict_is_the_line_that_says_why(log: str, said: str) -> None:
    assert verdict(log) == said.strip()


def test_source_has_every_file_with_its_name() -> None:
    text = source()
    folder = Path(loader.__file__).parent / "programs"
    for path in [*folder.glob("*.h"), *folder.glob("*.c")]:
        assert f'#line 1 "programs/{path.name}"' in text


@pytest.mark.live
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"aggregation": "none", "drops": "watched", "snaplen_bytes": 60_000},
        {"aggregation": "low", "snaplen_bytes": 64, "interfaces_max": 1, "connections_max": 1},
        {"trace_rate_per_cpu": 10**8, "trace_burst_per_cpu": 1},
        {"drop_rate_per_cpu": 1, "drop_burst_per_cpu": 10**8, "aggregation_flags": 255},
    ],
    ids=["default", "none", "low", "trace-rate", "drop-rate"],
)
def test_options_load_and_leave_nothing_when_closed(
    btf: KernelBtf, folder: Path, options: dict[str, Any]
) -> None:
    gc.collect()
    before = open_fds()
    with load_programs(ProgramOptions(host_netns=1, **options), btf) as programs:
        fds = [programs.trace_ingress_fd, programs.trace_egress_fd, programs.drop_fd]
        fds += [programs.record_ingress_fd, programs.record_egress_fd, programs.record_drop_fd]
        fds += programs.maps.values()
        assert len(set(fds)) == 18
        assert not any(os.get_inheritable(fd) for fd in fds)
        assert list(folder.iterdir()) == []
    programs.close()
    assert open_fds() == before


LOAD = """
from palomar_bpf.btf import KernelBtf
from palomar_bpf.loader import ProgramOptions, load_programs

with KernelBtf() as btf:
    load_programs(ProgramOptions(host_netns=1, connections_max=64), btf).close()
"""


HIDING_SYMBOLS = """
mount --bind "$0" /proc/kallsyms &&
exec setpriv --inh-caps=-all --bounding-set=-all,+bpf,+perfmon,+net_admin "$@"
"""


@pytest.mark.live
def test_three_capabilities_do_where_the_kernel_hides_its_symbols(
    btf: KernelBtf, tmp_path: Path
) -> None:
    hidden = tmp_path / "kallsyms"  # as with kernel.kptr_restrict=2, of this mount namespace only
    hidden.write_text("0000000000000000 T _stext\n0000000000000000 T bpf_probe_read_kernel\n")
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", HIDING_SYMBOLS, str(hidden)),
            *(sys.executable, "-c", LOAD),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.live
def test_compiler_is_not_mapped_here(btf: KernelBtf) -> None:
    load_programs(OPTIONS, btf).close()
    mapped = Path("/proc/self/maps").read_text()
    assert "libbcc" not in mapped
    assert "libLLVM" not in mapped


@pytest.mark.live
def test_compiler_error_is_a_load_error_with_the_place_in_the_log(
    btf: KernelBtf, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = source() + '#line 7 "programs/broken.c"\nint broken(void) { return nonsense; }\n'
    monkeypatch.setattr(loader, "source", lambda: text)
    with pytest.raises(LoadError, match="do not load") as caught:
        load_programs(OPTIONS, btf)
    assert "programs/broken.c:7" in caught.value.log
    assert str(caught.value).endswith("error: use of undeclared identifier 'nonsense'")
    assert list(folder.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.live
def test_verifier_refusal_is_a_load_error_with_its_log(
    btf: KernelBtf, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = source().replace("captured > limit", "0")
    monkeypatch.setattr(loader, "source", lambda: text)
    with pytest.raises(LoadError, match=r"drop.*: R2 ") as caught:
        load_programs(OPTIONS, btf)
    assert "\n" not in str(caught.value)
    assert "processed" in caught.value.log
    assert capfd.readouterr() == ("", "")


@pytest.mark.live
def test_programs_compile_without_warnings(btf: KernelBtf, monkeypatch: pytest.MonkeyPatch) -> None:
    # bcc's own headers, which come first, are not that clean.
    text = '#pragma clang diagnostic error "-Wall"\n' + source()
    monkeypatch.setattr(loader, "source", lambda: text)
    load_programs(OPTIONS, btf).close()


@pytest.mark.live
@pytest.mark.parametrize("arguments", [2, 3], ids=["before-5.17", "before-6.11"])
def test_programs_load_without_what_older_kernels_lack(
    btf: KernelBtf, monkeypatch: pytest.MonkeyPatch, arguments: int
) -> None:
    def old(options: ProgramOptions, btf: KernelBtf) -> dict[str, str | int]:
        found = {
            name: value
            for name, value in macros(options, btf).items()
            if "CGROUP" not in name and not name.startswith(("TASK", "OFFSET_TASK"))
        }
        return found | {"KFREE_SKB_ARGUMENTS": arguments}

    monkeypatch.setattr(loader, "macros", old)
    load_programs(OPTIONS, btf).close()


@pytest.mark.live
def test_slow_load_is_given_up(
    btf: KernelBtf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "LOAD_TIMEOUT_S", 0.01)
    with pytest.raises(LoadError, match="longer than"):
        load_programs(OPTIONS, btf)
    assert list(folder.iterdir()) == []


@pytest.mark.live
def test_child_that_dies_is_a_load_error_with_its_status(
    btf: KernelBtf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LoadError, match="status 1"):
        load_programs(OPTIONS, btf)


def test_missing_bcc_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "find_bcc", lambda: None)
    with pytest.raises(LoadError, match="apt install python3-bpfcc"):
        loader._compile({})


def test_closing_twice_closes_once() -> None:
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(7)]
    programs = Programs(fds[0], fds[1], fds[2], fds[3], fds[4], fds[5], {"events": fds[6]})
    programs.close()
    reused = os.open("/dev/null", os.O_RDONLY)
    programs.close()
    os.close(reused)
