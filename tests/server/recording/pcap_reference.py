"""libpcap's own interpreter, one packet at a time: pcap_offline_filter(3PCAP)."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

from palomar_server.recording.pcap_library import LIBRARIES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


class _Header(ctypes.Structure):
    _fields_ = (
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("captured", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


@cache
def _filter() -> Any:
    library = ctypes.CDLL(LIBRARIES[0])
    library.pcap_offline_filter.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
    return library.pcap_offline_filter


def accepts(program: NDArray[np.void], captured: bytes, length: int) -> bool:
    """Whether libpcap lets a packet pass."""
    instructions = ctypes.create_string_buffer(program.tobytes())
    content = _Program(len(program), ctypes.cast(instructions, ctypes.c_void_p))
    header = _Header(0, 0, len(captured), length)
    return bool(_filter()(ctypes.byref(content), ctypes.byref(header), captured))
