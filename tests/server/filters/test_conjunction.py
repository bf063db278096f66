from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter import compile_filter, compile_lists
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import Endpoint
from palomar_server.filters.compiled import CompiledFilter
from palomar_server.filters.conjunction import Conjunction
from palomar_server.table import FLOW, Kind
from palomar_server.testing import flow_rows
from palomar_server.view import View
from tests.server.filters.random_events import POOLS, Events, events, filters, surroundings

if TYPE_CHECKING:
    from palomar_server.table import Rows

SLOWLY = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
"""Events have many parts, and the machine may be busy."""
UUID_OF_ITS_OWN = flow_pb2.Flow(uuid="u1").SerializeToString()


def columns_say(some: Events, flow_filter: flow_pb2.FlowFilter) -> list[bool]:
    conjunction = Conjunction(flow_filter, "x", some.surroundings, some.encoder, ())
    said: list[bool] = conjunction.mask(some.view()).tolist()
    return said


def messages_say(some: Events, flow_filter: flow_pb2.FlowFilter) -> list[bool]:
    matcher = compile_filter(flow_filter)
    return [matcher.matches(some.event(index)) for index in range(len(some.rows))]


def without_losses(some: Events, said: list[bool]) -> list[bool]:
    """Loss notices pass every filter, so that it is not asked of them."""
    kinds = some.rows["kind"].tolist()
    return [one for one, kind in zip(said, kinds, strict=True) if kind != Kind.LOST]


@settings(SLOWLY, max_examples=300)
@given(events(), filters())
def test_columns_decide_as_messages_do(some: Events, flow_filter: flow_pb2.FlowFilter) -> None:
    by_columns, by_messages = columns_say(some, flow_filter), messages_say(some, flow_filter)
    assert without_losses(some, by_columns) == without_losses(some, by_messages)


@pytest.mark.parametrize("name", sorted(POOLS))
@settings(SLOWLY, max_examples=25)
@given(data=st.data())
def test_each_field_alone_decides_by_columns_as_by_messages(name: str, data: st.DataObject) -> None:
    some = data.draw(events())
    flow_filter = flow_pb2.FlowFilter()
    getattr(flow_filter, name).extend(data.draw(st.lists(st.sampled_from(POOLS[name]), min_size=1)))
    by_columns, by_messages = columns_say(some, flow_filter), messages_say(some, flow_filter)
    assert without_losses(some, by_columns) == without_losses(some, by_messages)


@settings(SLOWLY)
@given(events(), st.lists(filters(), max_size=3), st.lists(filters(), max_size=2))
def test_lists_decide_by_columns_as_by_messages(
    some: Events, whitelist: list[flow_pb2.FlowFilter], blacklist: list[flow_pb2.FlowFilter]
) -> None:
    compiled = CompiledFilter(whitelist, blacklist, some.surroundings, some.encoder)
    matcher = compile_lists(whitelist, blacklist)
    said = [matcher.matches(some.event(index)) for index in range(len(some.rows))]
    by_columns = compiled.mask(some.view()).tolist()
    assert without_losses(some, by_columns) == without_losses(some, said)
    assert all(by_columns[i] for i in np.flatnonzero(some.rows["kind"] == Kind.LOST))


def random_memory(seed: int, count: int = 64) -> Rows:
    """Rows of bytes that mean nothing, as a reader may find what a writer is at."""
    return np.random.default_rng(seed).integers(0, 256, count * FLOW.itemsize, np.uint8).view(FLOW)


@pytest.mark.parametrize("name", sorted(POOLS))
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xff", flow_pb2.Flow(uuid="u1").SerializeToString()]
)
def test_torn_rows_are_no_error_to_any_field(name: str, content: bytes) -> None:
    tables = surroundings()
    encoder = FlowEncoder(tables, "default/node", run_id=1)
    flow_filter = flow_pb2.FlowFilter()
    getattr(flow_filter, name).extend(POOLS[name])
    conjunction = Conjunction(flow_filter, "x", tables, encoder, ())
    for kind in (None, Kind.FLOW):
        rows = random_memory(seed=1)
        if kind is not None:
            rows["kind"] = kind
        assert conjunction.mask(View(rows, 0, lambda _: content, encoder)).shape == (len(rows),)


def test_torn_rows_are_no_error_to_expressions() -> None:
    tables = surroundings()
    encoder = FlowEncoder(tables, "default/node", run_id=1)
    flow_filter = flow_pb2.FlowFilter()
    flow_filter.experimental.cel_expression.append("_flow.source.identity > 5u")
    conjunction = Conjunction(flow_filter, "x", tables, encoder, ())
    rows = random_memory(seed=2)
    rows["kind"] = Kind.FLOW
    rows["message"][::2] = 0
    assert conjunction.mask(View(rows, 0, lambda _: b"", encoder)).shape == (len(rows),)


def test_tables_may_change_while_rows_are_looked_at() -> None:
    tables = surroundings()
    encoder = FlowEncoder(tables, "default/node", run_id=1)
    fields = ("source_pod", "source_label", "source_fqdn", "source_service", "interface")
    conjunctions = []
    for name in fields:
        flow_filter = flow_pb2.FlowFilter()
        getattr(flow_filter, name).extend(POOLS[name])
        conjunctions.append(Conjunction(flow_filter, "x", tables, encoder, ()))
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            endpoint = Endpoint(pod_name=f"web-{number}", labels=(f"k8s:app={number}",))
            tables.endpoints.upsert(str(number % 50), endpoint, (), at_ns=number)
            tables.identities.put(number % 50, (f"k8s:app={number}",))
            tables.names.put_dns(0, (0, number % 50), (f"a{number}.example.com",))
            tables.interface(number % 500, "eth0")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for number in range(100):
            rows = flow_rows(200, source_endpoint=range(200), source_identity=range(200))
            rows["interface"] = rows["source_lo"] = range(200)
            for one in conjunctions:
                view = View(rows, number, lambda _: b"", encoder)
                assert one.mask(view).shape == (len(rows),)
    finally:
        stop.set()
        changing.join()


def test_a_row_whose_message_is_gone_is_as_good_as_empty() -> None:
    tables = surroundings()
    encoder = FlowEncoder(tables, "default/node", run_id=1)
    rows = flow_rows(1, message=1)
    for name, expected in (("http_url", [False]), ("trace_id", [True])):
        flow_filter = flow_pb2.FlowFilter()
        getattr(flow_filter, name).append("")
        conjunction = Conjunction(flow_filter, "x", tables, encoder, ())
        assert conjunction.mask(View(rows, 0, lambda _: b"", encoder)).tolist() == expected
