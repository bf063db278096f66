"""Brings the programs' tables in step with the rules, without disturbing those that stay.

In go `RuleTables`; called by `palomar_bpf.packet_capture`, by one thread at a time. Every update of
a map replaces each bit of a set at once, and a rule that is in both the old and the new tables
matches its packets in every state between them.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from palomar_bpf.bpf_call import map_delete, map_update, percpu_lookup, possible_cpus
from palomar_bpf.capture_rule import RULE_NETWORKS_MAX, RULE_NUMBERS_MAX
from palomar_bpf.errors import BpfError, CaptureError
from palomar_bpf.rule_tables import RuleTables, pack_set

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_INDEX = struct.Struct("=I")
_LOSS = struct.Struct("=QQ")
"""packets, bytes: struct record_loss of programs/rules.h."""


class RuleMaps:
    """The maps of programs/rules.h, empty at first.

    Args:
        maps: Name -> descriptor, which stays the caller's; see `palomar_bpf.loader.Programs`.
    """

    def __init__(self, maps: Mapping[str, int]) -> None:
        self._plan_fd = maps["record_plans"]
        self._numbers_fd = maps["rule_numbers"]
        self._networks_fd = maps["rule_networks"]
        self._losses_fd = maps["record_losses"]
        self._siblings_fd = maps["record_siblings"]
        self._cpus = possible_cpus()
        self._numbers: dict[bytes, int] = {}
        self._networks: dict[bytes, int] = {}
        self._siblings: dict[int, int] = {}

    def write(self, tables: RuleTables, *, enabled: int, snaplen_bytes: int) -> None:
        """Make the maps hold exactly this; which rules are enabled is written last.

        Raises:
            CaptureError: it is more than the maps hold, in which case nothing is changed, or the
                kernel refused.
        """
        for name, keys, most in (
            ("ports, protocols and interfaces", tables.numbers, RULE_NUMBERS_MAX),
            ("networks", tables.networks, RULE_NETWORKS_MAX),
        ):
            if len(keys) > most:
                raise CaptureError(
                    f"recordings ask for {len(keys)} different {name}, the kernel side holds "
                    f"{most}: record with wider filters, or fewer recordings at once"
                )
        _update(self._numbers_fd, self._numbers, tables.numbers)
        _update(self._networks_fd, self._networks, tables.networks)
        map_update(self._plan_fd, _INDEX.pack(0), tables.plan(enabled, snaplen_bytes))

    def count_together(self, groups: Iterable[Collection[int]]) -> None:
        """Have a loss count once for the rules of a group, whichever of them a packet matched.

        Args:
            groups: Numbers of rules; those in no group are by themselves.

        Raises:
            BpfError: the kernel refused.
        """
        wanted: dict[int, int] = {}
        for group in groups:
            lower = 0
            for number in sorted(group):
                wanted[number] = lower
                lower |= 1 << number
        for number in self._siblings.keys() | wanted.keys():
            siblings = wanted.get(number, 0)
            if self._siblings.get(number, 0) != siblings:
                map_update(self._siblings_fd, _INDEX.pack(number), pack_set(siblings))
                self._siblings[number] = siblings

    def lost(self, rule: int) -> tuple[int, int]:
        """Packets, and captured bytes of them, that a rule lost to a full ring since the load.

        Raises:
            BpfError: the kernel refused.
        """
        values = percpu_lookup(self._losses_fd, _INDEX.pack(rule), _LOSS.size, self._cpus)
        counts = [_LOSS.unpack(value) for value in values]
        return sum(packets for packets, _ in counts), sum(size for _, size in counts)


def _update(fd: int, present: dict[bytes, int], wanted: Mapping[bytes, int]) -> None:
    """Bring one map and our notion of it in step with what is wanted."""
    for key in [key for key in present if key not in wanted]:
        map_delete(fd, key)
        del present[key]
    for key, rules in wanted.items():
        if present.get(key) == rules:
            continue
        try:
            map_update(fd, key, pack_set(rules))
        except BpfError as error:
            if error.errno == errno.ENOMEM:
                raise CaptureError("the kernel has no memory for more rules") from error
            raise
        present[key] = rules
