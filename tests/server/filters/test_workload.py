from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import selected

Workload = flow_pb2.Workload


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Workload(name="web"), [1, 2]),
        (Workload(kind="Job"), [2]),
        (Workload(name="web", kind="Job"), []),
        (Workload(), [1, 2]),
    ],
)
def test_one_workload_of_the_pod_must_have_what_is_given(
    wanted: Workload, expected: list[int]
) -> None:
    surroundings = Surroundings(EndpointTable())
    workloads = ((("web", "Deployment"),), (("batch", "Job"), ("web", "CronJob")), ())
    for number, some in enumerate(workloads):
        surroundings.endpoints.upsert(str(number), Endpoint(workloads=some), (), at_ns=0)
    rows = flow_rows(4, source_endpoint=range(4), destination_endpoint=range(4))
    assert selected(rows, surroundings, source_workload=[wanted]) == expected
    assert selected(rows, surroundings, destination_workload=[wanted]) == expected
