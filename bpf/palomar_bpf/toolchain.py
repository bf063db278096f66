"""What compiling the programs needs of the system: bcc and the kernel's UAPI headers.

In goes nothing but the file system; out come the places of both, or an error with the package to
install. Called by loader, which compiles, and by check, which only looks.

bcc wants a kernel source tree. The programs here use UAPI headers only (structure offsets come from
BTF), so `write_tree` makes a small tree that links those and adds the few files that bcc's own
headers include besides. No kernel headers of the running version are needed.
"""

from __future__ import annotations

import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from palomar_bpf.errors import LoadError

BCC_REMEDY = "install bcc's Python module (Debian: apt install python3-bpfcc)"
HEADERS_REMEDY = "install the kernel's UAPI headers (Debian: apt install linux-libc-dev)"

_SYSTEM_PACKAGES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3*/site-packages")
"""Where distributions put Python modules of their own, as patterns; bcc is not on PyPI."""

_INTEGERS = ("u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64")
_STUBS = {
    "linux/kconfig.h": "#define CONFIG_BPF_SYSCALL 1\n",
    "linux/log2.h": "",
    "asm/page.h": "",
    # bcc replaces the contents of this one by its own; what it leaves out is the kernel's types.
    "uapi/linux/bpf.h": "#include <linux/types.h>\n"
    + "".join(f"typedef __{name} {name};\n" for name in _INTEGERS)
    + "typedef _Bool bool;\n#define true 1\n#define false 0\n"
    "typedef unsigned long size_t;\ntypedef unsigned long uintptr_t;\n",
}
"""Files that bcc includes or that its headers rely on, below include/."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Folders of UAPI headers."""

    linux: Path
    asm: Path
    asm_generic: Path


def find_bcc() -> Path | None:
    """Return the folder that holds the package `bcc`, None where there is none.

    Any CPython 3 can use a distribution's bcc: it is pure Python over ctypes. It is not imported.
    """
    folders = [Path(entry) for entry in sys.path if entry]
    for pattern in _SYSTEM_PACKAGES:
        folders += sorted(Path("/").glob(pattern.lstrip("/")))
    # By a file of its own: other distributions on PyPI have used the name.
    return next((folder for folder in folders if (folder / "bcc/libbcc.py").is_file()), None)


def find_headers(root: Path = Path("/usr/include")) -> Headers:
    """Find the UAPI headers for the running architecture below `root`.

    Debian keeps `asm` in a folder named after the architecture, others beside `linux`.

    Raises:
        LoadError: they are not installed.
    """
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    for asm in (root / multiarch / "asm", root / "asm"):
        if (asm / "types.h").is_file() and (root / "linux/if_ether.h").is_file():
            return Headers(linux=root / "linux", asm=asm, asm_generic=root / "asm-generic")
    raise LoadError(f"no linux/if_ether.h and asm/types.h below {root}: {HEADERS_REMEDY}")


def write_tree(headers: Headers, folder: Path) -> None:
    """Make `folder`, which exists and is empty, a kernel source tree that satisfies bcc."""
    include = folder / "include"
    for name, text in _STUBS.items():
        (include / name).parent.mkdir(parents=True, exist_ok=True)
        (include / name).write_text(text, encoding="ascii")
    (include / "uapi/linux/if_packet.h").symlink_to(headers.linux / "if_packet.h")
    generated = include / "generated/uapi"
    generated.mkdir(parents=True)
    (generated / "linux").symlink_to(headers.linux)
    (generated / "asm").symlink_to(headers.asm)
    (generated / "asm-generic").symlink_to(headers.asm_generic)
