from collections.abc import Iterable
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from palomar.errors import InvalidRequest
from palomar.filters import Filter, split_flags
from palomar_proto.flow.flow_pb2 import FlowFilter


def as_dicts(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [MessageToDict(message, preserving_proto_field_name=True) for message in messages]


def test_a_keyword_for_either_end_makes_two_messages() -> None:
    assert as_dicts(Filter(pod="web", verdict="drop").messages) == [
        {"source_pod": ["/web"], "verdict": ["DROPPED"]},
        {"destination_pod": ["/web"], "verdict": ["DROPPED"]},
    ]


def test_keywords_for_one_end_make_one_message() -> None:
    assert as_dicts(Filter(from_pod="a/x", to_port=[80, "443"]).messages) == [
        {"source_pod": ["a/x"], "destination_port": ["80", "443"]}
    ]


@pytest.mark.parametrize(
    ("keywords", "patterns"),
    [
        ({"from_pod": "x"}, ["/x"]),
        ({"from_pod": "/x"}, ["/x"]),
        ({"from_pod": "n/x"}, ["n/x"]),
        ({"from_pod": "n/"}, ["n/"]),
        ({"from_namespace": "n"}, ["n/"]),
        ({"from_namespace": ["n", "m"]}, ["n/", "m/"]),
        ({"from_namespace": "n", "from_pod": "x"}, ["n/x"]),
        ({"from_namespace": "n", "from_pod": "n/x"}, ["n/x"]),
        ({"from_namespace": ["n", "m"], "from_pod": ["x", "y"]}, ["n/x", "m/x", "n/y", "m/y"]),
    ],
)
def test_namespaces_are_written_into_pod_patterns(
    keywords: dict[str, Any], patterns: list[str]
) -> None:
    assert as_dicts(Filter(**keywords).messages) == [{"source_pod": patterns}]


def test_pod_of_another_namespace_is_a_conflict() -> None:
    with pytest.raises(InvalidRequest, match="not in namespace 'b'"):
        Filter(from_pod="a/x", from_namespace="b")


def test_reply_is_a_boolean() -> None:
    assert as_dicts(Filter(reply=True).messages) == [{"reply": [True]}]
    assert as_dicts(Filter(reply=False).messages) == [{"reply": [False]}]


def test_no_keywords_match_every_flow_and_an_empty_list_is_refused() -> None:
    assert Filter().messages == (FlowFilter(),)
    with pytest.raises(InvalidRequest, match="pod has no values"):
        Filter(pod=[])


@pytest.mark.parametrize("keywords", [{"pods": "x"}, {"pod": None}])
def test_wrong_keywords_are_type_errors(keywords: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Filter(**keywords)


def test_boolean_for_a_text_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'True'"):
        Filter(verdict=True)  # type: ignore[arg-type]  # the point


def test_filters_compare_by_what_they_select() -> None:
    assert Filter(verdict="drop") == Filter(verdict=["DROPPED"])
    assert Filter(verdict="drop") != Filter(verdict="error")
    assert repr(Filter(pod="web", port=80)) == "Filter(pod='web', port=80)"


def test_not_moves_only_the_next_filter() -> None:
    allow, deny = split_flags([("not", ""), ("pod", "a/x"), ("pod", "b/y")])
    assert as_dicts(allow) == [{"source_pod": ["b/y"]}, {"destination_pod": ["b/y"]}]
    assert as_dicts(deny) == [{"source_pod": ["a/x"]}, {"destination_pod": ["a/x"]}]


def test_negated_filters_make_one_filter_together() -> None:
    _, deny = split_flags([("not", ""), ("verdict", "drop"), ("not", ""), ("protocol", "tcp")])
    assert as_dicts(deny) == [{"verdict": ["DROPPED"], "protocol": ["tcp"]}]


@pytest.mark.parametrize(
    "flags", [[("not", "")], [("not", ""), ("not", ""), ("pod", "x")], [("pod", "x"), ("not", "")]]
)
def test_not_needs_exactly_one_filter(flags: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest, match="--not"):
        split_flags(flags)


@pytest.mark.parametrize(
    "names",
    [("ip", "from-ip"), ("pod", "to-pod"), ("namespace", "from-namespace"), ("port", "to-port"),
     ("from-ip", "from-pod"), ("from-pod", "namespace")],
)  # fmt: skip
def test_flags_that_exclude_each_other_are_refused(names: tuple[str, ...]) -> None:
    values = {"ip": "1.1.1.1", "pod": "x", "namespace": "n", "port": "80"}
    flags = [(name, values[name.rpartition("-")[2]]) for name in names]
    with pytest.raises(InvalidRequest, match="cannot be combined"):
        split_flags(flags)
    negated_first = [("not", ""), *flags]
    assert split_flags(negated_first)  # different lists do not disturb each other
