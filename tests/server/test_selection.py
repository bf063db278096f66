from __future__ import annotations

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.filters.compiled import CompiledFilter
from palomar_server.selection import FlowSelection, KindSelection
from palomar_server.table import Kind
from palomar_server.testing import Core, event_row, flow_rows, view_of

ROWS = np.concatenate((flow_rows(1), *(event_row(kind) for kind in list(Kind)[1:])))
"""One row of each kind, in the order of their numbers."""


def flows(*whitelist: flow_pb2.FlowFilter) -> FlowSelection:
    core = Core()
    return FlowSelection(CompiledFilter(whitelist, [], core.surroundings, core.encoder))


def test_without_filters_all_flows_and_losses_are_selected_and_nothing_else() -> None:
    assert flows().mask(view_of(ROWS)).tolist() == [True, True, False, False]


def test_filters_hide_flows_but_no_losses() -> None:
    dropped = flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])
    assert flows(dropped).mask(view_of(ROWS)).tolist() == [False, True, False, False]


@pytest.mark.parametrize("event_type", [130, 2])
def test_no_filter_brings_other_events_into_flows(event_type: int) -> None:
    wanted = flow_pb2.FlowFilter(event_type=[flow_pb2.EventTypeFilter(type=event_type)])
    assert flows(wanted).mask(view_of(ROWS)).tolist() == [False, True, False, False]


@pytest.mark.parametrize("kind", [Kind.AGENT, Kind.DEBUG])
def test_a_kind_is_selected_alone(kind: Kind) -> None:
    assert ROWS["kind"][KindSelection(kind).mask(view_of(ROWS))].tolist() == [kind]


def test_what_passes_the_filters_is_of_any_kind_but_no_loss() -> None:
    view = view_of(ROWS)
    assert flows().passing(view).tolist() == [True, False, True, True]
    assert KindSelection(Kind.AGENT).passing(view).tolist() == [True, False, True, True]
    agent = flow_pb2.FlowFilter(event_type=[flow_pb2.EventTypeFilter(type=130)])
    assert flows(agent).passing(view).tolist() == [False, False, True, False]
