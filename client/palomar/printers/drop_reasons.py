"""Why a packet was dropped, in the words Hubble uses for it.

In: a dropped flow's numbers. Out: the text of its type column, or the name that a filter takes.
Cilium's reasons are the subtype of its drop message; drops by the Linux kernel itself have subtype
255 and a drop_reason_desc from 1000 on, which `palomar.v1.KernelDropReason` names. Used by the flow
columns.
"""

from palomar_proto.flow.flow_pb2 import DropReason
from palomar_proto.monitor.reason_text import reason_text
from palomar_proto.palomar.v1.drop_reason_pb2 import KernelDropReason

KERNEL_SUBTYPE = 255
KERNEL_REASON_BASE = 1000

_KERNEL_NAMES = {value.number: value.name for value in KernelDropReason.DESCRIPTOR.values}
_NAMES = {value.number: value.name for value in DropReason.DESCRIPTOR.values}


def drop_reason_name(reason: int) -> str:
    """Name a reason as `--drop-reason-desc` takes it; empty if the flow tells none.

    Args:
        reason: The flow's drop_reason_desc.
    """
    if not reason:
        return ""
    if reason >= KERNEL_REASON_BASE:
        return _KERNEL_NAMES.get(reason - KERNEL_REASON_BASE) or str(reason)
    return _NAMES.get(reason) or str(reason)


def drop_text(subtype: int, reason: int) -> str:
    """Say why a packet was dropped.

    Args:
        subtype: The drop message's subtype; only its low byte counts, as in the message.
        reason: The flow's drop_reason_desc.
    """
    code = subtype & 0xFF
    if code == KERNEL_SUBTYPE and reason >= KERNEL_REASON_BASE:
        number = reason - KERNEL_REASON_BASE
        return _KERNEL_NAMES.get(number) or f"kernel reason {number}"
    return reason_text(code)
