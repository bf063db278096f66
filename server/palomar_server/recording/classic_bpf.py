"""Classic BPF programs, run over many packets at once: what libpcap's compiler makes.

Each instruction is carried out for all packets that reach it, in the order of the program; since
jumps only go forwards, one pass does. Format and meaning: bpf(4) of the BSDs, pcap-filter's
`pcap_offline_filter`. A load beyond the captured bytes and a division by zero end a packet's run
with 0, as there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray

    from palomar_recorder.packets import Packets
    from palomar_server.table import Mask

    _Words: TypeAlias = NDArray[np.uint32]
    _Rows: TypeAlias = NDArray[np.intp]

INSTRUCTION = np.dtype([("code", "u2"), ("jt", "u1"), ("jf", "u1"), ("k", "u4")])
"""struct bpf_insn of pcap/bpf.h, native byte order."""
INSTRUCTIONS_MAX = 4_096
"""What the kernels take (BPF_MAXINSNS)."""

_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET, _MISC = range(8)
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
_IMM, _ABS, _IND, _MEM, _LEN, _MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
_WITH_X = 0x08
_ADD, _SUB, _MUL, _DIV, _OR, _AND = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50
_LSH, _RSH, _NEG, _MOD, _XOR = 0x60, 0x70, 0x80, 0x90, 0xA0
_JA, _JEQ, _JGT, _JGE, _JSET = 0x00, 0x10, 0x20, 0x30, 0x40
_RET_A = 0x10
_TXA = 0x80
_WORD_BITS = 32
_CELLS = 16

_ARITHMETIC: dict[int, Callable[[_Words, _Words], _Words]] = {
    _ADD: np.add,
    _SUB: np.subtract,
    _MUL: np.multiply,
    _OR: np.bitwise_or,
    _AND: np.bitwise_and,
    _XOR: np.bitwise_xor,
    _DIV: np.floor_divide,
    _MOD: np.remainder,
}
_COMPARISONS: dict[int, Callable[[_Words, _Words], Mask]] = {
    _JEQ: np.equal,
    _JGT: np.greater,
    _JGE: np.greater_equal,
    _JSET: lambda left, right: (left & right) != 0,
}
_BINARY = (*_ARITHMETIC, _LSH, _RSH)
_LOADS = frozenset(
    {
        *(_LD | size | mode for size in _SIZES for mode in (_ABS, _IND)),
        *(_LD | mode for mode in (_IMM, _MEM, _LEN)),
        *(_LDX | mode for mode in (_IMM, _MEM, _LEN)),
        _LDX | 0x10 | _MSH,
    }
)
_KNOWN = frozenset(
    {
        *_LOADS,
        *(_ST, _STX),
        *(_ALU | operation | x for operation in _BINARY for x in (0, _WITH_X)),
        _ALU | _NEG,
        _JMP | _JA,
        *(_JMP | jump | x for jump in _COMPARISONS for x in (0, _WITH_X)),
        *(_RET, _RET | _RET_A, _MISC, _MISC | _TXA),
    }
)


def check_program(program: NDArray[np.void]) -> None:
    """See that a program can be run by `run`.

    Args:
        program: shape (m,), dtype `INSTRUCTION`.

    Raises:
        ValueError: it is empty, too long, leaves itself, goes backwards, or has an instruction that
            is not known; says which.
    """
    count = len(program)
    if not 0 < count <= INSTRUCTIONS_MAX:
        raise ValueError(f"the program has {count} instructions; 1 to {INSTRUCTIONS_MAX} may be")
    for at, (code, jt, jf, k) in enumerate(program.tolist()):
        kind = code & 7
        if code not in _KNOWN:
            raise ValueError(f"instruction {at} has the code 0x{code:02x}, which is not known")
        if kind == _JMP:
            # A jump backwards is one over nearly 2^32 instructions: only `protochain` has such.
            farthest = k if code == _JMP | _JA else max(jt, jf)
            if at + 1 + farthest >= count:
                raise ValueError(f"instruction {at} jumps backwards, or out of the program")
        uses_cell = kind in (_ST, _STX) or (kind in (_LD, _LDX) and code & 0xE0 == _MEM)
        if uses_cell and k >= _CELLS:
            raise ValueError(f"instruction {at} uses memory cell {k}; there are {_CELLS}")
    if int(program[-1]["code"]) & 7 != _RET:
        raise ValueError("the last instruction does not return")


def run(program: NDArray[np.void], packets: Packets) -> Mask:
    """Which packets a program accepts, shape (n,): those for which it does not return 0.

    Args:
        program: as `check_program` lets pass.
        packets: bounds are `captured_bytes`, the length that programs see is `original_bytes`.
    """
    return _Run(packets).run(program)


class _Run:
    """The registers of n packets."""

    def __init__(self, packets: Packets) -> None:
        count = len(packets)
        self._buffer = packets.buffer
        self._offsets = packets.offsets
        self._captured = packets.captured_bytes
        self._original = packets.original_bytes
        self._a = np.zeros(count, np.uint32)
        self._x = np.zeros(count, np.uint32)
        self._cells: dict[int, _Words] = {}
        self._accepted: Mask = np.zeros(count, np.bool_)

    def run(self, program: NDArray[np.void]) -> Mask:
        arrivals: dict[int, list[_Rows]] = {0: [np.arange(len(self._offsets))]}
        for at, (code, jt, jf, k) in enumerate(program.tolist()):
            arrived = [rows for rows in arrivals.pop(at, ()) if len(rows)]
            if not arrived:
                continue
            rows = arrived[0] if len(arrived) == 1 else np.concatenate(arrived)
            kind = code & 7
            if kind == _RET:
                if code & 0x18 == _RET_A:
                    self._accepted[rows] = self._a[rows] != 0
                elif k:
                    self._accepted[rows] = True
            elif kind == _JMP:
                for target, some in self._jump(code, jt, jf, k, rows):
                    arrivals.setdefault(at + 1 + target, []).append(some)
            else:
                arrivals.setdefault(at + 1, []).append(self._step(code, k, rows))
        return self._accepted

    def _step(self, code: int, k: int, rows: _Rows) -> _Rows:
        """Carry out an instruction that neither jumps nor returns; which rows go on."""
        kind = code & 7
        if kind in (_LD, _LDX):
            return self._load(code, k, rows)
        if kind in (_ST, _STX):
            cell = self._cells.setdefault(k, np.zeros(len(self._a), np.uint32))
            cell[rows] = (self._a if kind == _ST else self._x)[rows]
            return rows
        if kind == _ALU:
            return self._calculate(code, k, rows)
        if code & 0xF8 == _TXA:
            self._a[rows] = self._x[rows]
        else:
            self._x[rows] = self._a[rows]
        return rows

    def _jump(
        self, code: int, jt: int, jf: int, k: int, rows: _Rows
    ) -> tuple[tuple[int, _Rows], ...]:
        operation = code & 0xF0
        if operation == _JA:
            return ((k, rows),)
        other = self._x[rows] if code & _WITH_X else np.uint32(k)
        holds = _COMPARISONS[operation](self._a[rows], other)  # type: ignore[arg-type] # broadcast
        return ((jt, rows[holds]), (jf, rows[~holds]))

    def _load(self, code: int, k: int, rows: _Rows) -> _Rows:
        register = self._a if code & 7 == _LD else self._x
        mode = code & 0xE0
        if mode == _IMM:
            register[rows] = k
        elif mode == _MEM:
            cell = self._cells.get(k)
            register[rows] = 0 if cell is None else cell[rows]
        elif mode == _LEN:
            register[rows] = self._original[rows]
        else:
            size = 1 if mode == _MSH else _SIZES[code & 0x18]
            at = np.full(len(rows), k, np.int64)
            if mode == _IND:
                at += self._x[rows]
            fits = at + size <= self._captured[rows]
            if np.count_nonzero(fits) != len(rows):
                rows, at = rows[fits], at[fits]
            at += self._offsets[rows]
            value = self._buffer[at].astype(np.uint32)
            for byte in range(1, size):
                value <<= np.uint32(8)
                value |= self._buffer[at + byte]
            register[rows] = (value & 0xF) << 2 if mode == _MSH else value
        return rows

    def _calculate(self, code: int, k: int, rows: _Rows) -> _Rows:
        operation = code & 0xF0
        if operation == _NEG:
            self._a[rows] = np.uint32(0) - self._a[rows]
            return rows
        other = self._x[rows] if code & _WITH_X else np.full(len(rows), k, np.uint32)
        if operation in (_DIV, _MOD):
            rows, other = rows[other != 0], other[other != 0]
        value = self._a[rows]
        if operation in (_LSH, _RSH):
            by = np.minimum(other, _WORD_BITS - 1).astype(np.uint32)
            shifted = value << by if operation == _LSH else value >> by
            self._a[rows] = np.where(other < _WORD_BITS, shifted, 0)
        else:
            self._a[rows] = _ARITHMETIC[operation](value, other)
        return rows
