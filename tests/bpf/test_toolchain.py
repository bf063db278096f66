from __future__ import annotations

import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from palomar_bpf import toolchain
from palomar_bpf.errors import LoadError
from palomar_bpf.toolchain import find_bcc, find_headers, write_tree

if TYPE_CHECKING:
    from pathlib import Path


def make_headers(root: Path, asm: str) -> None:
    for name in ("linux/if_ether.h", "linux/if_packet.h", f"{asm}/types.h", "asm-generic/types.h"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_headers_are_found_beside_linux(tmp_path: Path) -> None:
    make_headers(tmp_path, "asm")
    assert find_headers(tmp_path).asm == tmp_path / "asm"


def test_folder_of_the_architecture_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _name: "z80-linux-gnu")
    make_headers(tmp_path, "asm")
    make_headers(tmp_path, "z80-linux-gnu/asm")
    assert find_headers(tmp_path).asm == tmp_path / "z80-linux-gnu/asm"


def test_missing_headers_name_their_package(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="apt install linux-libc-dev"):
        find_headers(tmp_path)


def test_tree_has_headers_and_stubs_where_bcc_looks(tmp_path: Path) -> None:
    make_headers(tmp_path / "usr", "asm")
    tree = tmp_path / "tree"
    tree.mkdir()
    write_tree(find_headers(tmp_path / "usr"), tree)
    include = tree / "include"
    assert (include / "generated/uapi/linux/if_ether.h").read_text() == "linux/if_ether.h"
    assert (include / "generated/uapi/asm/types.h").read_text() == "asm/types.h"
    assert (include / "generated/uapi/asm-generic/types.h").is_file()
    assert (include / "uapi/linux/if_packet.h").read_text() == "linux/if_packet.h"
    assert "CONFIG_BPF_SYSCALL" in (include / "linux/kconfig.h").read_text()
    assert "typedef __u32 u32;" in (include / "uapi/linux/bpf.h").read_text()


def test_bcc_is_found_on_the_path_and_not_mistaken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other/bcc").mkdir(parents=True)
    (tmp_path / "other/bcc/__init__.py").touch()
    (tmp_path / "real/bcc").mkdir(parents=True)
    (tmp_path / "real/bcc/libbcc.py").touch()
    monkeypatch.setattr(toolchain, "_SYSTEM_PACKAGES", ())
    monkeypatch.setattr(sys, "path", [str(tmp_path / "other")])
    assert find_bcc() is None
    monkeypatch.setattr(sys, "path", [str(tmp_path / "other"), str(tmp_path / "real")])
    assert find_bcc() == tmp_path / "real"
