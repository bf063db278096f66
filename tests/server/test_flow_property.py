from __future__ import annotations

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.flow_property import (
    VALUE_CHARACTERS_MAX,
    AddressProperty,
    RecordProperty,
    TableProperty,
)
from palomar_server.ring_scan import Found
from palomar_server.surroundings import Surroundings
from palomar_server.table import Flag
from palomar_server.testing import flow_rows


def found(count: int = 1, **columns: object) -> Found:
    return Found(flow_rows(count, **columns), np.arange(count))


def test_rows_of_a_table_with_the_same_values_have_the_same_code() -> None:
    prop = TableProperty(
        Surroundings(EndpointTable()),
        lambda rows, end: rows[f"{end}_endpoint"].astype(np.uint64),
        lambda key: (str(key % 2),),
    )
    codes = prop.codes(found(4, source_endpoint=[1, 2, 3, 4]), "source")
    assert codes[0] == codes[2] != codes[1] == codes[3]
    assert prop.values(int(codes[0])) == ("1",)


def test_row_that_got_another_meaning_is_looked_up_anew() -> None:
    surroundings = Surroundings(EndpointTable(rows_max=1))
    endpoints = surroundings.endpoints
    prop = TableProperty(
        surroundings,
        lambda rows, end: rows[f"{end}_endpoint"].astype(np.uint64),
        lambda key: (endpoints.endpoint(key).pod_name,),
    )
    rows = found(source_endpoint=1)
    told = []
    for time_ns, name in ((1, "old"), (200_000_000_000, "new")):
        # No flow is as old as the one before, so its row may be used again.
        row = endpoints.upsert(name, Endpoint(pod_name=name), (), time_ns, time_ns)
        endpoints.remove(name, time_ns)
        assert row == 1
        told.append(prop.values(int(prop.codes(rows, "source")[0])))
    assert told == [("old",), ("new",)]


def test_address_without_an_ip_header_is_none() -> None:
    prop = AddressProperty()
    codes = prop.codes(found(2, source_lo=1, flags=[0, Flag.IP]), "source")
    assert [prop.values(code) for code in codes.tolist()] == [(), ("::1",)]


def test_records_are_read_where_they_are_and_long_values_cut() -> None:
    asked = []

    def record(sequence: int) -> flow_pb2.Flow | None:
        asked.append(sequence)
        return flow_pb2.Flow(node_name="n" * 2_000) if sequence == 1 else None

    prop = RecordProperty(
        record,
        lambda rows: rows["message"] != 0,
        lambda flow: flow.node_name,
        lambda: "other",
    )
    codes = prop.codes(found(3, message=[0, 1, 1]), "source")
    assert [prop.values(code) for code in codes.tolist()] == [
        ("other",),
        ("n" * VALUE_CHARACTERS_MAX,),
        (),
    ]
    assert asked == [1, 2]
