from __future__ import annotations

from palomar_proto import flow_filter
from palomar_proto.flow import flow_pb2
from palomar_server.filters.fields import FIELDS
from palomar_server.testing import flow_rows, view_of
from tests.server.filters.random_events import POOLS
from tests.server.filters.selecting import compiled, content


def test_every_field_of_the_message_is_there() -> None:
    names = {field.name for field in flow_pb2.FlowFilter.DESCRIPTOR.fields}
    assert set(FIELDS) == names == set(flow_filter.FIELDS) == {*POOLS, "experimental"}


def test_only_fields_that_never_ask_rows_one_by_one_are_called_cheap() -> None:
    cheap = [name for name in POOLS if not FIELDS[name].is_slow]
    message = content(event_type={"type": 129}, source={}, destination={})
    rows = flow_rows(2, event_type=129, message=1)
    for name in cheap:
        view = view_of(rows, [message])
        compiled(None, **{name: [POOLS[name][-1]]}).mask(view)
        assert view.flows_built == 0, name
