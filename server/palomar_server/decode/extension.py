"""Palomar's own extension block, behind the heads of its own programs' messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import DROP_SUBTYPE_KERNEL
from palomar_server.address import MASK64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows


def fill_extension(extensions: NDArray[np.void], part: Rows, surroundings: Surroundings) -> None:
    """Fill what messages of all kinds have: time, process, namespace, traffic.

    Args:
        extensions: shape (n,), dtype `EXTENSION`.
        part: n rows, `length_bytes` filled.
        surroundings: knows the clock.
    """
    # Modulo 2^64: the offset of a clock that was set back is negative.
    part["time_ns"] = extensions["time_ns"] + np.uint64(surroundings.boot_offset_ns & MASK64)
    part["tgid"] = extensions["tgid"]
    part["netns"] = extensions["netns"]
    part["packets"] = np.maximum(extensions["packets"], 1)
    part["bytes"] = np.maximum(extensions["bytes"], part["length_bytes"])


def fill_drop_extension(
    extensions: NDArray[np.void],
    ifindexes: NDArray[np.uint32],
    part: Rows,
    surroundings: Surroundings,
) -> None:
    """Fill what drops have besides: the kernel's reason, where it dropped, the interface.

    Args:
        extensions: shape (n,), dtype `EXTENSION`.
        ifindexes: of the heads, shape (n,).
        part: n rows, `event_subtype` filled.
        surroundings: gives meaning to reasons, addresses and links.
    """
    _fill_drop_site(extensions, part, surroundings)
    part["interface"] = surroundings.link_rows(ifindexes)
    named = np.flatnonzero(extensions["interface"] != b"")
    if not named.size:
        return
    # The same index is another link in another namespace, so the name belongs to the key.
    names, name_of = np.unique(extensions["interface"][named], return_inverse=True)
    keys = ifindexes[named].astype(np.uint64) << np.uint64(32)
    keys |= name_of.astype(np.uint64)
    pairs, pair_of = np.unique(keys, return_inverse=True)
    interfaces = [
        # Behind the NUL may be what is left of a longer name that the link had before.
        surroundings.interface(
            pair >> 32,
            bytes(names[pair & 0xFFFF_FFFF]).partition(b"\0")[0].decode("utf-8", "replace"),
        )
        for pair in pairs.tolist()
    ]
    part["interface"][named] = np.array(interfaces, np.uint32)[pair_of]


def _fill_drop_site(extensions: NDArray[np.void], part: Rows, surroundings: Surroundings) -> None:
    kernel = (part["event_subtype"] == DROP_SUBTYPE_KERNEL).nonzero()[0]
    if not kernel.size:
        return
    reasons, reason_of = np.unique(extensions["drop_reason"][kernel], return_inverse=True)
    numbers = np.array([surroundings.drop_reason(number) for number in reasons.tolist()], np.uint32)
    part["drop_reason"][kernel] = numbers[reason_of]
    locations, location_of = np.unique(extensions["location"][kernel], return_inverse=True)
    pairs, pair_of = np.unique(location_of * len(reasons) + reason_of, return_inverse=True)
    sites = [
        surroundings.drop_site(
            int(locations[pair // len(reasons)]), int(reasons[pair % len(reasons)])
        )
        for pair in pairs.tolist()
    ]
    part["drop_site"][kernel] = np.array(sites, np.uint32)[pair_of]
