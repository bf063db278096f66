"""source_workload and destination_workload: name and kind of what a pod belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from palomar_proto.flow import flow_pb2


@dataclass(frozen=True, slots=True)
class WorkloadPattern:
    """A name and a kind, each exact; an empty one is any."""

    name: str
    kind: str

    def matches(self, name: str, kind: str) -> bool:
        """Whether that workload is meant."""
        return self.name in ("", name) and self.kind in ("", kind)


def parse_workloads(
    field: str,  # noqa: ARG001 - every parse function takes it
    values: Iterable[flow_pb2.Workload],
) -> tuple[WorkloadPattern, ...]:
    """The workloads of a field, as alternatives. Every value is valid."""
    return tuple(WorkloadPattern(value.name, value.kind) for value in values)
