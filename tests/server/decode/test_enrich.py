from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.decode.enrich import enrich, without_pod
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.table import Flag, Rows
from palomar_server.testing import flow_rows

LOCAL, REMOTE, NOBODY = map(parse_address, ("10.0.0.1", "10.0.0.2", "10.0.0.9"))
FORWARD = flow_pb2.SOCK_XLATE_POINT_PRE_DIRECTION_FWD
REVERSE = flow_pb2.SOCK_XLATE_POINT_POST_DIRECTION_REV


@pytest.fixture
def surroundings() -> Surroundings:
    surroundings = Surroundings(EndpointTable())
    surroundings.apply(
        {
            "endpoints": {
                "local": {"at_ns": 0, "addresses": ["10.0.0.1"], "id": 7, "identity": 300},
                "remote": {"at_ns": 0, "addresses": ["10.0.0.2"], "identity": 301},
            },
            "cgroups": {"5": {"addresses": ["10.0.0.1"]}},
        }
    )
    return surroundings


def rows_between(source: tuple[int, int], destination: tuple[int, int], **columns: object) -> Rows:
    return flow_rows(
        1,
        **{
            "source_hi": source[0],
            "source_lo": source[1],
            "destination_hi": destination[0],
            "destination_lo": destination[1],
            "trace_reason": flow_pb2.NEW,
            "is_reply": 0,
            **columns,
        },
    )


def identities(rows: Rows) -> list[tuple[int, int]]:
    return list(
        zip(rows["source_identity"].tolist(), rows["destination_identity"].tolist(), strict=True)
    )


def test_identities_are_the_event_s_or_those_of_the_owners(surroundings: Surroundings) -> None:
    rows = np.concatenate(
        (
            rows_between(LOCAL, REMOTE),
            rows_between(LOCAL, REMOTE, source_identity=9),
            rows_between(NOBODY, REMOTE, destination_identity=8),
            rows_between(LOCAL, REMOTE, flags=0, source_identity=9),
        )
    )
    enrich(rows, surroundings)
    assert identities(rows) == [(300, 301), (9, 301), (0, 8), (9, 0)]
    # Without an IP header there is no address that somebody could own.
    assert rows["source_endpoint"].tolist() == [1, 1, 0, 0]


def test_to_our_own_programs_an_address_of_nobody_is_the_world(
    surroundings: Surroundings,
) -> None:
    rows = np.concatenate(
        (
            rows_between(NOBODY, LOCAL),
            rows_between(NOBODY, LOCAL),
            rows_between(NOBODY, LOCAL, source_identity=9),
            rows_between(NOBODY, LOCAL, flags=0),
        )
    )
    enrich(rows, surroundings, np.array([True, False, True, True]))
    assert identities(rows) == [(2, 300), (0, 300), (9, 300), (0, 0)]


@pytest.mark.parametrize(
    ("columns", "direction"),
    [
        ({}, flow_pb2.EGRESS),
        ({"is_reply": 1}, flow_pb2.INGRESS),
        ({"local_endpoint_id": 8}, flow_pb2.INGRESS),
        ({"local_endpoint_id": 8, "is_reply": 1}, flow_pb2.EGRESS),
        ({"local_endpoint_id": 8, "flags": Flag.IP | Flag.ORIGINAL}, flow_pb2.EGRESS),
        ({"local_endpoint_id": 0}, flow_pb2.TRAFFIC_DIRECTION_UNKNOWN),
        ({"trace_reason": flow_pb2.TRACE_REASON_UNKNOWN}, flow_pb2.TRAFFIC_DIRECTION_UNKNOWN),
        ({"event_type": MessageType.DROP, "trace_reason": 0, "is_reply": -1}, flow_pb2.EGRESS),
        (
            {
                "event_type": MessageType.POLICY_VERDICT,
                "trace_reason": 0,
                "direction": flow_pb2.INGRESS,
            },
            flow_pb2.INGRESS,
        ),
        (
            {"event_type": MessageType.DEBUG_CAPTURE, "trace_reason": 0},
            flow_pb2.TRAFFIC_DIRECTION_UNKNOWN,
        ),
    ],
)
def test_the_direction_is_that_of_the_connection(
    surroundings: Surroundings, columns: dict[str, Any], direction: int
) -> None:
    rows = rows_between(LOCAL, REMOTE, **{"local_endpoint_id": 7, **columns})
    enrich(rows, surroundings)
    assert rows["direction"].tolist() == [direction]


def sock(point: int, cgroup_id: int) -> Rows:
    here, nowhere = REMOTE, (0, 0)
    ends = (here, nowhere) if point == REVERSE else (nowhere, here)
    return rows_between(
        *ends,
        event_type=MessageType.TRACE_SOCK,
        event_subtype=point,
        cgroup_id=cgroup_id,
        flags=Flag.IP,
        trace_reason=0,
    )


def test_a_socket_event_is_of_the_pod_that_its_cgroup_belongs_to(
    surroundings: Surroundings,
) -> None:
    rows = np.concatenate((sock(FORWARD, 5), sock(REVERSE, 5), sock(FORWARD, 6), sock(REVERSE, 6)))
    # Somebody has all of IPv6; no address is none of it.
    everything = {"at_ns": 0, "addresses": ["::/0"], "identity": 400}
    surroundings.apply({"endpoints": {"all": everything}})
    enrich(rows, surroundings)
    assert identities(rows) == [(300, 301), (301, 300), (0, 301), (301, 0)]
    assert rows["source_lo"][0] == LOCAL[1]
    assert rows["destination_lo"][1] == LOCAL[1]
    assert without_pod(rows).tolist() == [False, False, True, True]
    assert rows["direction"].tolist() == [0, 0, 0, 0]
