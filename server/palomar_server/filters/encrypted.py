"""FlowFilter.encrypted: whether a packet travels encrypted between nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.filters.predicate import has_flags
from palomar_server.table import Flag

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

_IS_ENCRYPTED = has_flags(Flag.IP | Flag.ENCRYPTED)


def compile_encrypted(field: FieldFilter) -> Predicate:
    """Flows that are encrypted, or are not; without an IP header they are not."""
    wanted = set(field.parsed)

    def predicate(view: View) -> Mask:
        if len(wanted) > 1:
            return np.ones(len(view), np.bool_)
        mask = _IS_ENCRYPTED(view)
        return mask if True in wanted else ~mask

    return predicate
