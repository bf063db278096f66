import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from palomar.printers.comma_separated import FLOW_COLUMNS, CsvPrinter
from palomar.printers.look import Look
from palomar.testing import make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse


def records(*responses: GetFlowsResponse) -> list[dict[str, str]]:
    printer = CsvPrinter(Look())
    text = "".join(
        printer.flow(one) if one.HasField("flow") else printer.loss(one) for one in responses
    )
    assert text.count("\r\n") == text.count("\n") == len(responses) + 1
    return [*csv.DictReader(io.StringIO(text, newline=""))]


def test_a_flow_is_a_record_under_the_heading() -> None:
    (record,) = records(make_response(summary=None, is_reply=True))
    assert tuple(record) == FLOW_COLUMNS
    assert record["time"] == "2024-03-05T10:20:30.123456789Z"
    assert record["source_pod"] == "web-0"
    assert record["source_ip"] == "10.0.0.10"
    assert record["source_port"] == "4000"
    assert record["protocol"] == "TCP"
    assert record["reply"] == "true"
    assert record["destination_identity"] == "2"


def test_a_loss_is_a_record_too(loss: GetFlowsResponse) -> None:
    _, record = records(make_response(), loss)
    assert record["type"] == "EVENTS LOST"
    assert record["summary"] == "PERF_EVENT_RING_BUFFER CPU(3) 7"


@pytest.mark.parametrize(
    ("summary", "read"),
    [
        ('a "b", c', 'a "b", c'),
        ("one\r\ntwo", "one\\r\\ntwo"),
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("TCP Flags: SYN", "TCP Flags: SYN"),
    ],
)
def test_texts_are_quoted_and_are_no_formulas(summary: str, read: str) -> None:
    assert records(make_response(Summary=summary))[0]["summary"] == read


def test_every_recorded_flow_is_one_record(
    recorded: Callable[[str], list[GetFlowsResponse]],
) -> None:
    responses = [one for one in recorded("special.jsonl") if not one.HasField("node_status")]
    assert all(None not in record for record in records(*responses))


def test_it_asks_for_its_own_fields() -> None:
    assert {"interface", "destination.labels"} <= {*CsvPrinter(Look()).field_paths()}


def test_columns_are_those_of_the_documentation() -> None:
    text = Path(__file__).parents[3].joinpath("docs/output-formats.md").read_text(encoding="utf-8")
    assert f"\n{','.join(FLOW_COLUMNS)}\n" in text
