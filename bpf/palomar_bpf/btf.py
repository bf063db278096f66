"""The running kernel's own description of its types (BTF), read through libbpf.

In goes /sys/kernel/btf/vmlinux; out come member offsets, enum values and argument counts. Called by
loader (offsets become macros of the programs), reasons (names of drop reasons) and check.

BTF is a C array of types behind libbpf's lookup functions; the layouts of its records are those of
the kernel's include/uapi/linux/btf.h. Close it when done: it holds several megabytes.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Self

from palomar_bpf.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

VMLINUX = Path("/sys/kernel/btf/vmlinux")
LIBRARY = "libbpf.so.1"

_PTR = 2
_STRUCT = 4
_UNION = 5
_ENUM = 6
_TYPEDEF = 8
_VOLATILE = 9
_CONST = 10
_RESTRICT = 11
_FUNC_PROTO = 13
_TYPE_TAG = 18
_ENUM64 = 19
_TRANSPARENT = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG})
"""Kinds that stand for another type."""

_TYPE = struct.Struct("=III")
"""name_off; info: bits 0-15 number of records, 24-28 kind, 31 flag; size or type id."""
_MEMBER = struct.Struct("=III")
"""name_off, type id, offset in bits (only the low 24 bits where the struct has the flag)."""
_ENUMERATOR = struct.Struct("=Ii")
_ENUMERATOR64 = struct.Struct("=III")


class KernelBtf:
    """Type information of the running kernel; a context manager.

    Raises:
        LoadError: the kernel has no BTF, or libbpf is missing.
    """

    def __init__(self) -> None:
        if not VMLINUX.exists():
            raise LoadError(
                f"{VMLINUX} does not exist: run a kernel built with CONFIG_DEBUG_INFO_BTF=y"
            )
        self._library = _library()
        self._btf: int | None = self._library.btf__load_vmlinux_btf()
        if not self._btf:
            reason = os.strerror(ctypes.get_errno())
            raise LoadError(f"{LIBRARY} cannot read {VMLINUX}: {reason}; is libbpf up to date?")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the memory; harmless when repeated. Nothing can be looked up any more."""
        if self._btf:
            self._library.btf__free(self._btf)
        self._btf = None

    def offset(self, name: str, path: str) -> int:
        """Return where a member of a struct lies, in bytes.

        `path` may lead into members that are structs themselves (`__sk_common.skc_net`); members of
        anonymous structs and unions are found under their own name, as in C.

        Raises:
            LookupError: there is no such struct or member, or it is a bit-field off byte bounds.
        """
        type_id = self._find(name, _STRUCT) or self._find(name, _UNION)
        if not type_id:
            raise LookupError(f"this kernel's BTF has no struct {name}")
        bits = 0
        for member in path.split("."):
            found = self._member(type_id, member)
            if found is None:
                raise LookupError(f"struct {name} of this kernel's BTF has no member {path}")
            type_id, at_bits = found
            bits += at_bits
        if bits % 8:
            raise LookupError(f"{name}.{path} is a bit-field at bit {bits}; it has no byte offset")
        return bits // 8

    def enum(self, name: str, module: str = "") -> dict[str, int]:
        """Return the names and values of an enum; empty where the kernel does not have it.

        `module` is the kernel module that brings it, for what is not built in; empty, too, where
        that module is not loaded.
        """
        if not module:
            return self._enum(self._open, name)
        split = self._library.btf__load_module_btf(module.encode(), self._open)
        if not split:
            return {}
        try:
            return self._enum(split, name)
        finally:
            self._library.btf__free(split)

    def tracepoint_arguments(self, tracepoint: str) -> int:
        """How many arguments a raw tracepoint hands to its programs; 0 where there is none."""
        type_id = self._find(f"btf_trace_{tracepoint}", _TYPEDEF)
        if not type_id:
            return 0
        kind, count, target, _ = self._type(type_id)
        while kind in _TRANSPARENT or kind == _PTR:
            kind, count, target, _ = self._type(target)
        # The first parameter is the tracepoint's private data, which programs do not see.
        return count - 1 if kind == _FUNC_PROTO else 0

    @property
    def _open(self) -> int:
        if self._btf is None:
            raise ValueError("this KernelBtf is closed")
        return self._btf

    def _find(self, name: str, kind: int) -> int:
        """The id of a named type, 0 where there is none."""
        type_id: int = self._library.btf__find_by_name_kind(self._open, name.encode(), kind)
        return max(0, type_id)

    def _type(self, type_id: int) -> tuple[int, int, int, int]:
        """Kind, number of records, size or type id, and address of the records of a type."""
        address = self._library.btf__type_by_id(self._open, type_id)
        _, info, size_or_type = _TYPE.unpack(ctypes.string_at(address, _TYPE.size))
        return info >> 24 & 0x1F, info & 0xFFFF, size_or_type, address + _TYPE.size

    def _bare(self, type_id: int) -> int:
        """The type that typedefs and qualifiers stand for."""
        kind, _, target, _ = self._type(type_id)
        while kind in _TRANSPARENT:
            type_id = target
            kind, _, target, _ = self._type(type_id)
        return type_id

    def _member(self, type_id: int, wanted: str) -> tuple[int, int] | None:
        """Type id and offset in bits of a member, searched in anonymous members as well."""
        type_id = self._bare(type_id)
        for name, member_type, at_bits in self._members(type_id):
            if name == wanted:
                return member_type, at_bits
            if not name and (inner := self._member(member_type, wanted)):
                return inner[0], at_bits + inner[1]
        return None

    def _members(self, type_id: int) -> Iterator[tuple[str, int, int]]:
        kind, count, _, address = self._type(type_id)
        if kind not in {_STRUCT, _UNION}:
            return
        records = ctypes.string_at(address, count * _MEMBER.size)
        for name_offset, member_type, offset in _MEMBER.iter_unpack(records):
            # Struct flag or not, the low 24 bits are the offset: no kernel struct is 2 MiB long.
            yield self._name(self._open, name_offset), member_type, offset & 0xFFFFFF

    def _enum(self, btf: int, name: str) -> dict[str, int]:
        for kind, record in ((_ENUM, _ENUMERATOR), (_ENUM64, _ENUMERATOR64)):
            type_id = self._library.btf__find_by_name_kind(btf, name.encode(), kind)
            if type_id <= 0:
                continue
            address = self._library.btf__type_by_id(btf, type_id)
            _, info, _ = _TYPE.unpack(ctypes.string_at(address, _TYPE.size))
            records = ctypes.string_at(address + _TYPE.size, (info & 0xFFFF) * record.size)
            return {
                self._name(btf, name_offset): value[0]
                if kind == _ENUM
                else value[0] | value[1] << 32
                for name_offset, *value in record.iter_unpack(records)
            }
        return {}

    def _name(self, btf: int, offset: int) -> str:
        name: bytes = self._library.btf__name_by_offset(btf, offset)
        return name.decode("ascii", "replace")


def _library() -> ctypes.CDLL:
    """Open libbpf and declare the types of the functions used here.

    Raises:
        LoadError: it is not installed.
    """
    try:
        library = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError as error:
        raise LoadError(
            f"{LIBRARY} is missing: install it (Debian: apt install libbpf1)"
        ) from error
    pointer, number, text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
    for name, result, arguments in (
        ("btf__load_vmlinux_btf", pointer, []),
        ("btf__load_module_btf", pointer, [text, pointer]),
        ("btf__free", None, [pointer]),
        ("btf__find_by_name_kind", number, [pointer, text, ctypes.c_uint32]),
        ("btf__type_by_id", pointer, [pointer, ctypes.c_uint32]),
        ("btf__name_by_offset", text, [pointer, ctypes.c_uint32]),
        ("libbpf_set_print", pointer, [pointer]),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    library.libbpf_set_print(None)  # It would write to standard error; results tell enough.
    return library
