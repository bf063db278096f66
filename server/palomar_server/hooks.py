"""The hook chains: where users' code and our own features look at events on their way.

One Protocol per hook. A hook gets a whole batch and says which rows go on; `per_flow` turns a
function on single flows into one. Rules of every chain:

- hooks run in the order in which they were registered;
- a row that a hook stops reaches no later hook and goes no further;
- an exception is logged with its traceback, counted by hook, and means that all rows go on;
- a hook that takes longer than the budget of its batch is counted by name, and logged.

All run on the agent's thread: a slow hook delays everything behind it, up to loss in the kernel's
ring, which is counted.
"""

from __future__ import annotations

import enum
import importlib
import operator
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

import numpy as np
import structlog

from palomar_server.table import Kind, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from palomar_bpf.batch import PayloadBatch
    from palomar_proto.flow import flow_pb2
    from palomar_server.encode import FlowEncoder
    from palomar_server.table import Mask, Rows

log = structlog.get_logger(__name__)

_LOST = np.uint8(Kind.LOST)

DEFAULT_BUDGET_S = 0.05
"""Time a hook may take for a batch before it is reported: the kernel's ring holds about this much
at a high rate."""


REPORT_INTERVAL_S = 30.0
"""A hook's failures and overruns are all counted, and logged at most this often."""


class HookError(Exception):
    """A hook that settings name cannot be loaded."""


class Verdict(enum.Enum):
    """What a per-flow hook says of a flow."""

    CONTINUE = enum.auto()
    STOP = enum.auto()


@dataclass(frozen=True, slots=True)
class FlowBatch:
    """Decoded events on their way through the chains."""

    rows: Rows
    """Dtype `FLOW`; a hook may change columns in place."""
    encoder: FlowEncoder
    """Turns rows into protobuf flows where a hook wants them."""
    messages: Sequence[bytes] = ()
    """What the rows' column `message` counts."""

    def flow(self, index: int) -> flow_pb2.Flow:
        """Build the protobuf message of one row: microseconds, so only for rows that matter.

        Rows that are no flows, which only OnDecodedEvent sees, have none: theirs is empty.
        """
        row = self.rows[index]
        return self.encoder.flow(row, content=self.content(index))

    def content(self, index: int) -> bytes:
        """The serialised message of a row that has one (see `FLOW`), else nothing."""
        number = int(self.rows["message"][index])
        return self.messages[number - 1] if number else b""


class OnMonitorEvent(Protocol):
    """Sees raw payloads before they are decoded."""

    def on_monitor_event(self, batch: PayloadBatch) -> Mask | None:
        """Return which payloads go on, shape (n,), or None for all. Must not change the batch."""


class OnDecodedFlow(Protocol):
    """Sees flows, and only flows, after decoding and enrichment."""

    def on_decoded_flow(self, batch: FlowBatch) -> Mask | None:
        """Return which rows go on, shape (n,), or None for all."""


class OnDecodedEvent(Protocol):
    """Sees every event that is about to enter the ring, losses included."""

    def on_decoded_event(self, batch: FlowBatch) -> Mask | None:
        """Return which rows enter the ring, shape (n,), or None for all.

        Loss notices enter it, and reach later hooks, in any case.
        """


HookT = TypeVar("HookT")
BatchT = TypeVar("BatchT")


class Chain(Generic[HookT, BatchT]):
    """The hooks of one kind, in order.

    Args:
        call: calls one hook with a batch.
        subset: the batch reduced to some rows.
        budget_s: time a hook may take for a batch before it is reported.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        call: Callable[[HookT, BatchT], Mask | None],
        subset: Callable[[BatchT, Mask], BatchT],
        *,
        budget_s: float = DEFAULT_BUDGET_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._call = call
        self._subset = subset
        self._budget_s = budget_s
        self._clock = clock
        self._hooks: list[tuple[str, HookT]] = []
        self.errors: Counter[str] = Counter()
        """Exceptions by hook."""
        self.overruns: Counter[str] = Counter()
        """Batches over budget by hook."""
        self._reported_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._hooks)

    def register(self, hook: HookT, name: str) -> None:
        """Append a hook under the name it is counted by."""
        self._hooks.append((name, hook))

    def run(self, batch: BatchT) -> BatchT:
        """Pass a batch through all hooks; return what is left of it."""
        for name, hook in self._hooks:
            started = self._clock()
            try:
                batch = self._left(batch, self._call(hook, batch))
            except Exception:
                self.errors[name] += 1
                if self._may_report(name, started):
                    log.exception(
                        "hook failed, its batch goes on unchanged",
                        hook=name,
                        failures=self.errors[name],
                    )
            took_s = self._clock() - started
            if took_s > self._budget_s:
                self.overruns[name] += 1
                if self._may_report(name, started):
                    log.warning("hook overran its budget", hook=name, took_s=round(took_s, 4))
        return batch

    def _may_report(self, name: str, now_s: float) -> bool:
        """Whether it is time to log of a hook again: a broken one fails at every batch."""
        last_s = self._reported_s.get(name)
        if last_s is not None and now_s - last_s < REPORT_INTERVAL_S:
            return False
        self._reported_s[name] = now_s
        return True

    def _left(self, batch: BatchT, mask: Mask | None) -> BatchT:
        if mask is None:
            return batch
        if mask.dtype != np.bool_:
            # Numbers would be taken for row numbers.
            raise TypeError(f"the mask has dtype {mask.dtype}, not bool")
        return batch if mask.all() else self._subset(batch, mask)


def _subset_payloads(batch: PayloadBatch, mask: Mask) -> PayloadBatch:
    return type(batch)(
        batch.buffer,
        batch.offsets[mask],
        batch.lengths[mask],
        batch.cpus[mask],
        batch.received_ns,
        batch.losses,
    )


def _subset_flows(batch: FlowBatch, mask: Mask) -> FlowBatch:
    return FlowBatch(take(batch.rows, mask), batch.encoder, batch.messages)


def _call_on_decoded_event(hook: OnDecodedEvent, batch: FlowBatch) -> Mask | None:
    """Call the hook; whatever it says, what was lost is told."""
    mask = hook.on_decoded_event(batch)
    return mask if mask is None else mask | (batch.rows["kind"] == _LOST)


@dataclass(frozen=True)
class Hooks:
    """All chains. An object may implement several hooks and is registered for each."""

    monitor_event: Chain[OnMonitorEvent, PayloadBatch] = field(
        default_factory=lambda: Chain(lambda hook, b: hook.on_monitor_event(b), _subset_payloads)
    )
    decoded_flow: Chain[OnDecodedFlow, FlowBatch] = field(
        default_factory=lambda: Chain(lambda hook, b: hook.on_decoded_flow(b), _subset_flows)
    )
    decoded_event: Chain[OnDecodedEvent, FlowBatch] = field(
        default_factory=lambda: Chain(_call_on_decoded_event, _subset_flows)
    )

    def errors(self) -> dict[str, int]:
        """Exceptions of all chains by hook."""
        chains = (self.monitor_event, self.decoded_flow, self.decoded_event)
        total: Counter[str] = Counter()
        for chain in chains:
            total.update(chain.errors)
        return dict(total)

    def register(self, hook: object, name: str) -> None:
        """Put an object into the chain of every hook it implements.

        Raises:
            TypeError: it implements none.
        """
        found = False
        for method, chain in (
            ("on_monitor_event", self.monitor_event),
            ("on_decoded_flow", self.decoded_flow),
            ("on_decoded_event", self.decoded_event),
        ):
            if callable(getattr(hook, method, None)):
                cast("Chain[object, object]", chain).register(hook, name)
                found = True
        if not found:
            raise TypeError(
                f"hook {name} has none of on_monitor_event, on_decoded_flow, on_decoded_event"
            )

    def load(self, names: Iterable[str]) -> None:
        """Import and register hooks named `module:object`; a class is instantiated.

        Raises:
            HookError: a name cannot be imported; names it and the cause.
        """
        for name in names:
            module, _, attribute = name.partition(":")
            try:
                hook = operator.attrgetter(attribute)(importlib.import_module(module))
                self.register(hook() if isinstance(hook, type) else hook, name)
            except Exception as error:
                raise HookError(
                    f"hook {name!r} cannot be loaded ({error}); name it as module:object"
                ) from error


class per_flow:  # noqa: N801 - reads as the function it wraps
    """Makes an `OnDecodedFlow` hook of a function on single flows.

    Args:
        function: gets each flow as protobuf; says whether it goes on.
    """

    def __init__(self, function: Callable[[flow_pb2.Flow], Verdict]) -> None:
        self._function = function

    def on_decoded_flow(self, batch: FlowBatch) -> Mask:
        """Call the function for every row; an exception counts for the whole batch."""
        verdicts: Sequence[bool] = [
            self._function(batch.flow(index)) is Verdict.CONTINUE
            for index in range(len(batch.rows))
        ]
        return np.array(verdicts, np.bool_)


def is_flow(rows: Rows) -> Mask:
    """Which rows are flows, shape (n,)."""
    mask: Mask = rows["kind"] == Kind.FLOW
    return mask
