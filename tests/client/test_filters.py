from collections.abc import Callable, Iterable
from operator import and_, or_
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar.errors import InvalidRequest
from palomar.filters import Filter
from palomar_proto.flow.flow_pb2 import Flow, FlowFilter
from palomar_proto.flow_filter import compile_lists


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


def test_exclusions_are_each_by_itself() -> None:
    chosen = Filter(from_pod="web", not_to_port=[80, 443], not_verdict="drop")
    assert as_dicts(chosen.allow) == [{"source_pod": ["/web"]}]
    assert as_dicts(chosen.deny) == [
        {"destination_port": ["80", "443"]}, {"verdict": ["DROPPED"]},
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="allow and deny"):
        _ = chosen.messages


def test_booleans_without_a_contrary_are_left_out_when_false() -> None:
    assert Filter(ipv4=False) == Filter()
    assert as_dicts(Filter(encrypted=False).allow) == [{"encrypted": [False]}]
    assert as_dicts(Filter(not_reply=True).deny) == [{"reply": [True]}]


def test_lists_come_as_messages_or_json() -> None:
    message = FlowFilter(source_pod=["x"])
    assert Filter.from_lists([message]) == Filter.from_lists(['{"source_pod":["x"]}'])
    assert Filter.from_lists(denylist=["{}"]) == ~Filter()
    with pytest.raises(InvalidRequest, match="denylist"):
        Filter.from_lists(denylist=["{"])


# Filters to combine, and flows to hold them against: what operators make is compared with what
# Python's own `and`, `or` and `not` make of the parts.
PARTS = (
    Filter(),
    ~Filter(),
    Filter(verdict="drop"),
    Filter(verdict=["drop", "forward"]),
    Filter(port=80),
    Filter(to_port=[80, 443]),
    Filter(from_namespace="shop"),
    Filter(pod="web"),
    Filter(from_pod="shop/web-1"),
    Filter(ip="10.0.0.0/8"),
    Filter(from_ip="10.1.0.0/16"),
    Filter(label="app=web"),
    Filter(from_label="!canary"),
    Filter(type="trace"),
    Filter(type=["trace:to-stack", "drop"]),
    Filter(tcp_flags="syn"),
    Filter(tcp_flags=["ack", "rst"]),
    Filter(reply=True),
    Filter(not_port=443),
)


def expressions() -> st.SearchStrategy[tuple[Filter, Callable[[Flow], bool]]]:
    def passes(chosen: Filter) -> Callable[[Flow], bool]:
        return compile_lists(chosen.allow, chosen.deny).matches

    leaves = st.sampled_from([(part, passes(part)) for part in PARTS])

    def extend(inner: Any) -> Any:
        pairs = st.tuples(inner, inner)
        return st.one_of(
            pairs.map(lambda two: joined(two, and_, lambda a, b: a and b)),
            pairs.map(lambda two: joined(two, or_, lambda a, b: a or b)),
            inner.map(negated),
        )

    return st.recursive(leaves, extend, max_leaves=4)


def joined(two: Any, join: Any, both: Any) -> Any:
    (one, one_passes), (other, other_passes) = two
    try:
        made = join(one, other)
    except InvalidRequest:
        return one, one_passes
    return made, lambda flow: both(one_passes(flow), other_passes(flow))


def negated(one: Any) -> Any:
    made, passes = one
    try:
        return ~made, lambda flow: not passes(flow)
    except InvalidRequest:
        return one


FLOWS = [
    ParseDict(
        {
            "verdict": verdict,
            "IP": {"source": source_ip, "destination": "10.9.9.9"},
            "source": {"namespace": space, "pod_name": pod, "labels": labels},
            "destination": {"namespace": "shop", "pod_name": "web-2"},
            "l4": {"TCP": {"source_port": 4000, "destination_port": port, "flags": flags}},
            "event_type": {"type": kind, "sub_type": 3},
            "is_reply": reply,
        },
        Flow(),
    )
    for verdict, port in (("DROPPED", 80), ("FORWARDED", 443), ("AUDIT", 80))
    for source_ip, space, pod in (("10.1.0.1", "shop", "web-1"), ("1.1.1.1", "a", "db"))
    for labels in (["k8s:app=web"], ["k8s:canary"])
    for kind, flags in ((1, {"SYN": True}), (4, {"SYN": True, "ACK": True}))
    for reply in (True, False)
]


@settings(max_examples=300)
@given(expressions())
def test_operators_mean_and_or_not(made: tuple[Filter, Callable[[Flow], bool]]) -> None:
    chosen, passes = made
    lists = compile_lists(chosen.allow, chosen.deny)
    assert [lists.matches(flow) for flow in FLOWS] == [passes(flow) for flow in FLOWS]


@given(expressions())
def test_repr_makes_an_equal_filter(made: tuple[Filter, Callable[[Flow], bool]]) -> None:
    chosen, _ = made
    assert eval(repr(chosen), {"Filter": Filter}) == chosen  # noqa: S307 - our own text
    assert str(chosen).isprintable()


def test_repr_has_the_parentheses_it_needs() -> None:
    web, drop, dns = Filter(pod="web"), Filter(verdict="drop"), Filter(port=53)
    assert repr((web | drop) & ~dns) == (
        "(Filter(pod='web') | Filter(verdict='drop')) & ~Filter(port=53)"
    )
    assert repr(web & drop & dns) == "Filter(pod='web') & Filter(verdict='drop') & Filter(port=53)"
    assert repr(~(web & drop)) == "~(Filter(pod='web') & Filter(verdict='drop'))"
    listed = Filter.from_lists([FlowFilter(source_pod=["x"])])
    assert repr(listed) == """Filter.from_lists(allowlist=['{"source_pod":["x"]}'])"""


def test_and_of_two_filters_for_either_end_may_match_at_different_ends() -> None:
    assert len((Filter(pod="web") & Filter(port=80)).allow) == 4
    assert len(Filter(pod="web", port=80).allow) == 2


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: Filter(protocol="tcp") & Filter(protocol="dns"), "protocol"),
        (lambda: Filter(pod="a", not_port=1) | Filter(pod="b"), "leave out different flows"),
        (lambda: ~Filter(pod="a", not_port=1), "negate its parts"),
    ],
)
def test_what_no_request_can_say_is_refused(make: Callable[[], Filter], advice: str) -> None:
    with pytest.raises(InvalidRequest, match=advice):
        make()


def test_filters_stay_bounded() -> None:
    many = Filter.from_lists([FlowFilter(uuid=[str(number)]) for number in range(1024)])
    with pytest.raises(InvalidRequest, match="1024 are allowed"):
        _ = many & Filter(pod="x")
    with pytest.raises(InvalidRequest, match="too large"):
        _ = many | Filter(uuid="x")


def test_operators_are_for_filters_only() -> None:
    with pytest.raises(TypeError):
        _ = Filter() & FlowFilter()  # type: ignore[operator]  # the point
