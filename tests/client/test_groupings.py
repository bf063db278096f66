import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.errors import InvalidRequest
from palomar.groupings import field_names, grouping_name, parse_field, parse_grouping
from palomar_proto.palomar.v1.flow_field_pb2 import (
    FLOW_END_DESTINATION,
    FLOW_END_SOURCE,
    FLOW_FIELD_DROP_REASON,
    FLOW_FIELD_LABEL,
    FLOW_FIELD_POD,
    FLOW_FIELD_UNSPECIFIED,
    FlowField,
)
from palomar_proto.palomar.v1.summary_pb2 import Grouping


@pytest.mark.parametrize(
    "text", ["drop-reason", "drop_reason", "DROP-REASON", "drop.reason", " Drop_Reason "]
)
def test_spelling_of_a_field_is_free(text: str) -> None:
    assert parse_field(text) == FLOW_FIELD_DROP_REASON


def test_every_field_of_the_interface_has_its_name() -> None:
    assert [parse_field(name) for name in field_names()] == [
        field for field in FlowField.values() if field != FLOW_FIELD_UNSPECIFIED
    ]


@pytest.mark.parametrize("text", ["", "unspecified", "podd", "pod "[:2]])
def test_unknown_field_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"no field .*pod, namespace"):
        parse_field(text)


SOURCE_POD = Grouping(field=FLOW_FIELD_POD, end=FLOW_END_SOURCE)
DESTINATION_POD = Grouping(field=FLOW_FIELD_POD, end=FLOW_END_DESTINATION)


@pytest.mark.parametrize(
    ("text", "groupings"),
    [
        ("from-pod", [SOURCE_POD]),
        ("source.pod", [SOURCE_POD]),
        ("To_Pod", [DESTINATION_POD]),
        ("destination-pod", [DESTINATION_POD]),
        ("pod", [SOURCE_POD, DESTINATION_POD]),
        ("drop-reason", [Grouping(field=FLOW_FIELD_DROP_REASON)]),
        (
            "to-label:k8s:App",
            [Grouping(field=FLOW_FIELD_LABEL, end=FLOW_END_DESTINATION, label_key="k8s:App")],
        ),
    ],
)
def test_grouping_names_field_and_end(text: str, groupings: list[Grouping]) -> None:
    assert parse_grouping(text) == groupings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from-verdict", "belongs to no end"),
        ("label", "needs its key"),
        ("to-label:", "needs its key"),
        ("from-pod:web", "needs its key"),
        ("from-", "no field"),
        ("from-nothing", "no field"),
    ],
)
def test_grouping_that_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_grouping(text)


@pytest.mark.parametrize("text", ["from-pod", "to-label:app", "drop-reason", "to-ip"])
def test_name_of_a_grouping_reads_as_the_grouping(text: str) -> None:
    (grouping,) = parse_grouping(text)
    assert grouping_name(grouping) == text


def test_field_of_a_newer_server_has_its_number_for_a_name() -> None:
    assert grouping_name(Grouping(field=999)) == "999"  # type: ignore[arg-type]  # an open enumeration


@given(st.text(max_size=30) | st.sampled_from(["pod", "label"]).map(lambda name: f"from-{name}:x"))
def test_any_text_is_a_grouping_or_refused(text: str) -> None:
    try:
        groupings = parse_grouping(text)
    except InvalidRequest:
        return
    assert [parse_grouping(grouping_name(one)) for one in groupings] == [[one] for one in groupings]
