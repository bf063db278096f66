"""Hooks: where users' code and our own features look at events and requests on their way.

One Protocol for each of the seven points (`points`). Hooks get whole batches and say which rows go
on; `per_flow` and its like turn functions on single events into such hooks. Rules of every chain:

- hooks run in the order in which they were registered;
- a row that a hook stops reaches no later hook and goes no further;
- an exception is logged with its traceback, counted by hook, and means that all rows go on (where
  there are no rows to go on, at the start, for filters and requests, `points` says what it means);
- a hook that takes longer than the budget of its call is counted by name, and logged.

Hooks on events run on an agent's thread, those on requests and streams on the loop's: a slow one
delays everything behind it, up to loss, which is counted.
"""

from palomar_server.hooks.batch import DeliveryBatch, FlowBatch, FlowStream
from palomar_server.hooks.chain import DEFAULT_BUDGET_S, REPORT_INTERVAL_S, Chain, RowChain
from palomar_server.hooks.errors import HookError, RowErrors
from palomar_server.hooks.figures import HookFigures
from palomar_server.hooks.per_row import (
    LazyEvent,
    LazyFlow,
    Verdict,
    per_delivered_flow,
    per_event,
    per_flow,
    per_payload,
)
from palomar_server.hooks.points import (
    OnBuildFilter,
    OnDecodedEvent,
    OnDecodedFlow,
    OnFlowDelivery,
    OnGetFlows,
    OnMonitorEvent,
    OnServerInit,
)
from palomar_server.hooks.registry import Hooks
from palomar_server.hooks.server import HookServer, RingReader, Server

__all__ = [
    "DEFAULT_BUDGET_S",
    "REPORT_INTERVAL_S",
    "Chain",
    "DeliveryBatch",
    "FlowBatch",
    "FlowStream",
    "HookError",
    "HookFigures",
    "HookServer",
    "Hooks",
    "LazyEvent",
    "LazyFlow",
    "OnBuildFilter",
    "OnDecodedEvent",
    "OnDecodedFlow",
    "OnFlowDelivery",
    "OnGetFlows",
    "OnMonitorEvent",
    "OnServerInit",
    "RingReader",
    "RowChain",
    "RowErrors",
    "Server",
    "Verdict",
    "per_delivered_flow",
    "per_event",
    "per_flow",
    "per_payload",
]
