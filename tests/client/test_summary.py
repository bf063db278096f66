import pytest
from google.protobuf.json_format import ParseDict

from palomar.summary import histogram_text, summary_text
from palomar_proto.palomar.v1.summary_pb2 import Histogram, SummarizeResponse

ANSWER = ParseDict(
    {
        "groups": [
            {
                "values": ["shop/web-1\x1b[31m", "80"],
                "totals": {"flows": 1200, "packets": 3000, "bytes": 1048576},
                "last": "2024-03-05T10:20:30Z",
                "buckets": [{"flows": 1}, {}, {"flows": 8}],
            },
            {"values": ["", "443"], "totals": {"flows": 2}, "last": "2024-03-05T10:20:31Z"},
        ],
        "other": {"flows": 5},
        "other_groups": "3",
        "total": {"flows": 1207, "packets": 3000, "bytes": 1048576},
    },
    SummarizeResponse(),
)
HISTOGRAM = ParseDict(
    {
        "start": "2024-03-05T10:20:00Z",
        "width": "10s",
        "buckets": [{"flows": 10}, {}, {"flows": 5, "packets": 7}],
        "earlier": {"flows": 3},
    },
    Histogram(),
)


def test_groups_rest_and_total_are_rows() -> None:
    lines = summary_text(ANSWER, ["from-pod", "to-port"]).splitlines()
    assert lines[0].split() == [
        "FROM-POD", "TO-PORT", "FLOWS", "PACKETS", "BYTES", "LAST", "OVER", "TIME",
    ]  # fmt: skip
    assert lines[1].startswith("shop/web-1^[[31m   80")
    assert lines[1].endswith("2024-03-05 10:20:30Z   ▁ █")
    assert lines[2].startswith("- ")
    assert lines[3].startswith("(3 more)")
    assert lines[4].split() == ["(all)", "1,207", "3,000", "1.0", "MiB"]


def test_one_group_is_all_there_is() -> None:
    answer = SummarizeResponse()
    answer.groups.add(totals={"flows": 3})
    answer.total.flows = 3
    assert len(summary_text(answer, []).splitlines()) == 2


def test_steps_are_drawn_to_scale() -> None:
    lines = histogram_text(HISTOGRAM).splitlines()
    assert lines[1].startswith("earlier")
    assert [line.count("█") for line in lines] == [0, 0, 40, 0, 20]
    assert lines[4].startswith("2024-03-05 10:20:20Z")


@pytest.mark.parametrize(("width", "shown"), [("0.5s", "10:20:00.500Z"), ("2s", "10:20:02Z")])
def test_times_are_as_precise_as_the_steps(width: str, shown: str) -> None:
    histogram = Histogram()
    histogram.CopyFrom(HISTOGRAM)
    histogram.width.FromJsonString(width)
    assert shown in histogram_text(histogram)
