"""Run one target under atheris. Started by `__main__.py`, with the target and libFuzzer's options.

Two things lead the search: the branches of the Python code, and what the target says came out,
which is turned into a branch of its own.
"""

from __future__ import annotations

import sys
import zlib
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

PACKAGES = ("palomar_proto", "palomar_server", "palomar_bpf")
"""What is watched."""
_BITS = 12
"""Of the descriptions' hash: how many of them can be told apart."""


class _Watched(SourceFileLoader):
    """Loads a module so that atheris sees its branches and, where they lead anywhere, compares.

    Comparisons of columns tell nothing, and atheris 3.0 never lets go of their results.
    """

    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)
        by_columns = b"\nimport numpy" in self.get_data(self.path)
        patched: CodeType | None = code and atheris.patch_code(code, not by_columns)
        return patched


class _Finder(MetaPathFinder):
    """Finds the modules of the watched packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = None
        if fullname.partition(".")[0] in PACKAGES and not fullname.endswith(("_pb2", "_pb2_grpc")):
            spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        spec.loader = _Watched(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _Finder())

from tests.fuzz.targets import TARGETS  # noqa: E402 - what it imports is to be watched


def _branches(bits: int) -> Callable[[int], None]:
    """A function that goes another way for every number of so many bits."""
    lines = ["def tell(number):"]

    def write(left: int) -> None:
        indent = " " * (bits - left + 1)
        if not left:
            lines.append(f"{indent}return")
            return
        lines.append(f"{indent}if number & {1 << (left - 1)}:")
        write(left - 1)
        lines.append(f"{indent}else:")
        write(left - 1)

    write(bits)
    scope: dict[str, Callable[[int], None]] = {}
    exec("\n".join(lines), scope)  # noqa: S102 - made from numbers above
    instrumented: Callable[[int], None] = atheris.instrument_func(scope["tell"])
    return instrumented


def main() -> None:
    """Fuzz until libFuzzer's options say so, or something breaks."""
    target = TARGETS[sys.argv[1]]
    # Many small functions: the time that it takes to instrument one grows with its square.
    tell = [_branches(_BITS // 2) for _ in range(1 << _BITS // 2)]

    def one_input(data: bytes) -> None:
        high, low = divmod(zlib.crc32(repr(target(data)).encode()), 1 << _BITS // 2)
        tell[high % len(tell)](low)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
