"""`import grpc` without the half of it that is for asyncio.

grpc's package imports `grpc.aio`, and its compiled core imports asyncio, whether or not a program
is asynchronous: 28 ms of CPU of 65. Both are stood in for while grpc is loaded. Afterwards
`grpc.aio` is as if nobody had imported it yet, and the core has a stand-in that hands on every
access to the real asyncio: whoever wants them gets them, only later.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader

_DEFERRED = ("asyncio", "grpc.aio")


def defer_asyncio() -> None:
    """Have the first `import grpc` of this process leave asyncio alone.

    Does nothing where either is loaded before: there would be nothing to save.
    """
    if "grpc" not in sys.modules:
        sys.meta_path.insert(0, _GrpcFinder())


class _StandIn(ModuleType):
    """Takes a module's place until something of it is needed."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            # The import system looks for these, and must not find the module by them.
            raise AttributeError(name)
        value: object = getattr(import_module(self.__name__), name)
        return value


class _GrpcFinder:
    """Finds grpc, once, as it would be found, with a loader around its loader."""

    def find_spec(
        self,
        fullname: str,
        path: "Sequence[str] | None",
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != "grpc":
            return None
        sys.meta_path.remove(self)
        if "asyncio" in sys.modules:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            # No abc.Loader by its class: importlib.abc is slow to load.
            spec.loader = cast("Loader", _GrpcLoader(spec.loader))
        return spec


class _GrpcLoader:
    """Loads as another does, with stand-ins in place meanwhile."""

    def __init__(self, loader: "Loader") -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        stand_ins = {name: _StandIn(name) for name in _DEFERRED if name not in sys.modules}
        sys.modules.update(stand_ins)
        try:
            self._loader.exec_module(module)
        finally:
            for name, stand_in in stand_ins.items():
                if sys.modules.get(name) is stand_in:
                    del sys.modules[name]
            if isinstance(vars(module).get("aio"), _StandIn):
                del module.aio
