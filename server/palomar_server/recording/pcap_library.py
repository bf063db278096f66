"""libpcap's compiler of filter expressions, from the system library. See pcap_compile(3PCAP)."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.errors import NotReady
from palomar_server.recording.classic_bpf import INSTRUCTION, INSTRUCTIONS_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1")
"""As Debian and its relatives name it, and as the others do."""
_SNAPLEN_BYTES = 262_144
"""What accepting programs return; any number but 0 does."""
_NETMASK_UNKNOWN = 0xFFFF_FFFF


class _Program(ctypes.Structure):
    """struct bpf_program."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


class ExpressionError(Exception):
    """An expression does not compile; the text is libpcap's."""


def compile_expression(text: str, linktype: int) -> NDArray[np.void]:
    """Compile an expression for packets of one link type.

    It blocks while names in the expression are looked up: hand in none but of ports and protocols.

    Args:
        text: without NUL.
        linktype: a DLT value; those of Ethernet and raw IP are 1 and 12.

    Returns:
        Shape (m,), dtype `INSTRUCTION`.

    Raises:
        ExpressionError: it is wrong, too long, or means nothing for that link type.
        NotReady: there is no libpcap.
    """
    # What optimising takes grows faster than the program, so its length is looked at first.
    plain = _compile(text, linktype, optimise=False)
    if len(plain) > INSTRUCTIONS_MAX:
        raise ExpressionError(
            f"it takes {len(plain)} instructions, over {INSTRUCTIONS_MAX}; shorten it, or use "
            "filters or tuples"
        )
    return _compile(text, linktype, optimise=True)


def _compile(text: str, linktype: int, *, optimise: bool) -> NDArray[np.void]:
    library = _library()
    handle = library.pcap_open_dead(linktype, _SNAPLEN_BYTES)
    if not handle:
        raise ExpressionError(f"libpcap knows no link type {linktype}")
    try:
        program = _Program()
        done = library.pcap_compile(
            handle, ctypes.byref(program), text.encode(), int(optimise), _NETMASK_UNKNOWN
        )
        if done != 0:
            raise ExpressionError(library.pcap_geterr(handle).decode("utf-8", "replace"))
        size = program.length * INSTRUCTION.itemsize
        content = ctypes.string_at(program.instructions, size)
        library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
    return np.frombuffer(content, INSTRUCTION)


@cache
def _library() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcap_open_dead.restype = ctypes.c_void_p
        library.pcap_open_dead.argtypes = (ctypes.c_int, ctypes.c_int)
        library.pcap_compile.argtypes = (
            ctypes.c_void_p,
            ctypes.POINTER(_Program),
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_uint32,
        )
        library.pcap_geterr.restype = ctypes.c_char_p
        library.pcap_geterr.argtypes = (ctypes.c_void_p,)
        library.pcap_freecode.argtypes = (ctypes.POINTER(_Program),)
        library.pcap_freecode.restype = None
        library.pcap_close.argtypes = (ctypes.c_void_p,)
        library.pcap_close.restype = None
        return library
    raise NotReady(
        "pcap_filter: this node has no libpcap; install libpcap0.8 (Debian and relatives) or "
        "libpcap, or use filters and tuples"
    )
