"""Write the Python stubs beside every .proto file, or check that the committed ones are fresh.

Usage: python proto/generate.py [--check]

The generator's versions are pinned in pyproject.toml (group "proto"), so that two runs give the
same bytes and a difference means that someone edited a .proto file without running this.
"""

import filecmp
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def generate(out: Path) -> None:
    """Write the stubs of every .proto below ROOT into `out`, at the same relative paths.

    Raises:
        SystemExit: protoc refused a file; it has printed why.
    """
    protos = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    plugins = [
        f"--plugin=protoc-gen-{name}={Path(sys.executable).parent / f'protoc-gen-{name}'}"
        for name in ("mypy", "mypy_grpc")
    ]
    well_known = f"-I{files('grpc_tools') / '_proto'}"
    if protoc.main(["protoc", f"-I{ROOT}", well_known, *plugins, *outputs, *protos]) != 0:
        raise SystemExit("protoc failed")
    # A file without a service still gets an empty pair of gRPC stubs; nobody would import it.
    for stub in out.rglob("*_pb2_grpc.py"):
        if "def add_" not in stub.read_text():
            stub.unlink()
            stub.with_suffix(".pyi").unlink(missing_ok=True)


def stale(fresh: Path) -> list[str]:
    """Name the stubs that differ between ROOT and a fresh generation, or are in only one."""
    names = {
        str(path.relative_to(base))
        for base in (ROOT, fresh)
        for path in base.rglob("*")
        if path.name.endswith(SUFFIXES)
    }
    _, mismatch, missing = filecmp.cmpfiles(ROOT, fresh, sorted(names), shallow=False)
    return mismatch + missing


def main() -> None:
    """Generate, or with --check compare and exit 1 naming what is stale."""
    if "--check" not in sys.argv[1:]:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        if names := stale(Path(folder)):
            raise SystemExit("stale stubs, run `make proto`: " + ", ".join(names))


if __name__ == "__main__":
    main()
