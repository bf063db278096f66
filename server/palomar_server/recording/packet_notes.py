"""What a capture file says of a packet beside its bytes: who, where, and what became of it.

As in `default/web → default/db · to-endpoint · FORWARDED` and
`default/web → 10.0.0.9 · DROPPED · NETFILTER_DROP at nft_do_chain`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.address import format_address
from palomar_server.table import Flag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.surroundings import Surroundings
    from palomar_server.view import View

_KEY = np.dtype(
    [
        ("source_hi", "u8"),
        ("source_lo", "u8"),
        ("destination_hi", "u8"),
        ("destination_lo", "u8"),
        ("source_endpoint", "u4"),
        ("destination_endpoint", "u4"),
        ("drop_site", "u4"),
        ("verdict", "u1"),
        ("observation_point", "u1"),
        ("flags", "u1"),
        ("padding", "u1"),
    ]
)
"""All that a note is made of, 48 bytes."""
_NAMES = tuple(name for name in _KEY.names or () if name != "padding")
_WORDS = _KEY.itemsize // 8
_IP = int(Flag.IP)
_SHIFT = np.uint64(32)
_KEPT_MAX = 16_384
"""Notes that are kept, some 200 bytes each."""
_POINTS: dict[int, str] = {
    number: name.lower().replace("_", "-")
    for name, number in flow_pb2.TraceObservationPoint.items()
    if number
}
_VERDICTS: dict[int, str] = {number: name for name, number in flow_pb2.Verdict.items()}
_DROPPED = int(flow_pb2.DROPPED)


class PacketNotes:
    """Words notes, each of them once. For one thread.

    Args:
        surroundings: the tables that rows point into.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._kept: dict[bytes, str] = {}
        self._generation = -1
        # Random, so that nobody can send packets whose keys are mixed to the same number.
        random = np.random.default_rng().integers(1 << 63, size=_WORDS, dtype=np.uint64)
        self._factors = random << np.uint64(1) | np.uint64(1)

    def of(self, view: View) -> tuple[NDArray[np.uint32], list[str]]:
        """The notes of some packets.

        Args:
            view: their n rows, none of which has a message.

        Returns:
            Which note each has, shape (n,), dtype uint32, and the notes, the first always empty.
        """
        keys = np.zeros(len(view), _KEY)
        for name in _NAMES:
            keys[name] = view.column(name)
        keys["flags"] &= _IP
        first, note_of = self._distinct(keys)
        if self._generation != (generation := self._surroundings.generation):
            self._kept.clear()
            self._generation = generation
        notes = [""]
        notes.extend(self._note(key) for key in keys[first])
        return (note_of + 1).astype(np.uint32), notes

    def _distinct(self, keys: NDArray[np.void]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Index of the first of each distinct key, and which of these each one equals."""
        words = keys.view(np.uint64).reshape(-1, _WORDS)
        # Sorting one number a row takes a tenth of the time that whole keys do.
        mixed = np.zeros(len(keys), np.uint64)
        for word, factor in zip(words.T, self._factors, strict=True):
            mixed ^= word
            mixed *= factor
            mixed ^= mixed >> _SHIFT
        _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
        if np.count_nonzero(words[first[which]] != words):
            _, first, which = np.unique(words, axis=0, return_index=True, return_inverse=True)
        return first, which

    def _note(self, key: Any) -> str:
        content = key.tobytes()
        note = self._kept.get(content)
        if note is None:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            note = self._kept[content] = self._word(key)
        return note

    def _word(self, key: Any) -> str:
        parts = []
        if key["flags"]:
            parts.append(f"{self._end(key, 'source')} → {self._end(key, 'destination')}")
        if point := _POINTS.get(int(key["observation_point"])):
            parts.append(point)
        parts.append(_VERDICTS.get(int(key["verdict"]), f"verdict {key['verdict']}"))
        if key["verdict"] == _DROPPED:
            site = self._surroundings.drop_sites.value(int(key["drop_site"]))
            words = [site.reason] if site.reason else []
            if site.function:
                words.append(f"at {site.function}")
            if words:
                parts.append(" ".join(words))
        return " · ".join(parts)

    def _end(self, key: Any, side: str) -> str:
        endpoint = self._surroundings.endpoints.endpoint(int(key[f"{side}_endpoint"]))
        if endpoint.pod_name:
            return f"{endpoint.namespace}/{endpoint.pod_name}"
        return format_address(int(key[f"{side}_hi"]), int(key[f"{side}_lo"]))
