"""The hooks of one point, in order, and what each of them costs.

`Chain` has what all chains share: names, figures, the time budget, and reports that are no flood.
`RowChain` is the chain of hooks that say which rows of a batch go on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import structlog

from palomar_server.hooks.errors import RowErrors
from palomar_server.hooks.figures import HookFigures

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from palomar_server.table import Mask

log = structlog.get_logger(__name__)

DEFAULT_BUDGET_S = 0.05
"""Time a hook may take for a call before it is reported: the kernel's ring holds about this much
at a high rate, and streams wait no longer than people notice."""

REPORT_INTERVAL_S = 30.0
"""A hook's failures and overruns are all counted, and logged at most this often."""

HookT = TypeVar("HookT")
BatchT = TypeVar("BatchT", bound="Sized")


@dataclass(slots=True)
class Registered(Generic[HookT]):
    """A hook in its chain."""

    name: str
    hook: HookT
    figures: HookFigures = field(default_factory=HookFigures)
    reported_s: float | None = None


class Chain(Generic[HookT]):
    """The hooks of one point, in order.

    Args:
        budget_s: time a hook may take for a call before it is reported.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        budget_s: float = DEFAULT_BUDGET_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._budget_s = budget_s
        self._clock = clock
        self._hooks: list[Registered[HookT]] = []

    def __len__(self) -> int:
        return len(self._hooks)

    def register(self, hook: HookT, name: str) -> None:
        """Append a hook under the name it is counted by.

        Raises:
            ValueError: there is one of this name already.
        """
        if any(name == one.name for one in self._hooks):
            raise ValueError(f"there is a hook {name} already")
        self._hooks.append(Registered(name, hook))

    def figures(self) -> dict[str, HookFigures]:
        """What each hook did, by name and in order."""
        return {one.name: one.figures for one in self._hooks}

    @property
    def errors(self) -> dict[str, int]:
        """Exceptions by hook, of those that had any."""
        return {one.name: one.figures.errors for one in self._hooks if one.figures.errors}

    @property
    def overruns(self) -> dict[str, int]:
        """Calls over budget by hook, likewise."""
        return {one.name: one.figures.overruns for one in self._hooks if one.figures.overruns}

    def _failed(
        self, one: Registered[HookT], error: BaseException, result: str, count: int = 1
    ) -> None:
        """Count errors, and log the last with its traceback unless one was a moment ago."""
        one.figures.errors += count
        if self._may_report(one):
            log.error(
                "hook failed",
                hook=one.name,
                result=result,
                failures=one.figures.errors,
                exc_info=error,
            )

    def _took(self, one: Registered[HookT], seconds: float) -> None:
        """Account for the time of a call."""
        one.figures.calls += 1
        one.figures.seconds += seconds
        if seconds > self._budget_s:
            one.figures.overruns += 1
            if self._may_report(one):
                log.warning("hook overran its budget", hook=one.name, took_s=round(seconds, 4))

    def _may_report(self, one: Registered[HookT]) -> bool:
        """Whether it is time to log of a hook again: a broken one fails at every batch."""
        now_s = self._clock()
        if one.reported_s is not None and now_s - one.reported_s < REPORT_INTERVAL_S:
            return False
        one.reported_s = now_s
        return True


class RowChain(Chain[HookT], Generic[HookT, BatchT]):
    """Hooks that say which rows of a batch go on.

    A row that one stops reaches no later hook. A hook that raises has stopped nothing: its whole
    batch goes on. So it is where its answer is no mask.

    Args:
        call: calls one hook with a batch.
        subset: the batch reduced to some rows.
        always: rows that no hook can stop; None where there are none.
        budget_s: as for `Chain`.
        clock: as for `Chain`.
    """

    def __init__(
        self,
        call: Callable[[HookT, BatchT], Mask | None],
        subset: Callable[[BatchT, Mask], BatchT],
        *,
        always: Callable[[BatchT], Mask] | None = None,
        budget_s: float = DEFAULT_BUDGET_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(budget_s=budget_s, clock=clock)
        self._call = call
        self._subset = subset
        self._always = always

    def run(self, batch: BatchT) -> BatchT:
        """Pass a batch through all hooks; return what is left of it."""
        for one in self._hooks:
            rows = len(batch)
            if not rows:
                break
            started = self._clock()
            try:
                batch = self._left(batch, self._call(one.hook, batch))
            except RowErrors as error:
                batch = self._left(batch, error.mask)
                self._failed(one, error, "the rows it failed for go on", error.count)
            except Exception as error:  # noqa: BLE001 - the border to what users wrote
                self._failed(one, error, "its batch goes on unchanged")
            self._took(one, self._clock() - started)
            one.figures.rows += rows
            one.figures.stopped += rows - len(batch)
        return batch

    def _left(self, batch: BatchT, mask: Mask | None) -> BatchT:
        if mask is None:
            return batch
        if checked(mask, len(batch)).all():
            return batch
        return self._subset(batch, mask if self._always is None else mask | self._always(batch))


def checked(mask: Mask, count: int) -> Mask:
    """A mask that a hook made, if it is one for so many rows.

    Raises:
        TypeError: it has another dtype: numbers would be taken for row numbers.
        ValueError: it has another shape.
    """
    if mask.dtype != np.bool_:
        raise TypeError(f"the mask has dtype {mask.dtype}, not bool")
    if mask.shape != (count,):
        raise ValueError(f"the mask has shape {mask.shape}, not ({count},)")
    return mask
