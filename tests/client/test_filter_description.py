import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.filter_description import describe_filters
from palomar.filters import Filter
from palomar_proto.flow.flow_pb2 import FlowFilter


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (Filter(), "every flow"),
        (~Filter(), "no flow"),
        (Filter(pod="web"), "pod */web* at either end"),
        (Filter(pod="shop/web", verdict="drop"), "pod shop/web* at either end and verdict DROPPED"),
        (Filter(from_pod="a/x", to_port=[80, 443]),
         "source pod a/x* and destination port 80 or 443"),
        (Filter(pod="web", port=80), "pod */web* and port 80 at either end"),
        (Filter(not_port=443), "every flow; but not port 443 at either end"),
        (Filter(type=["trace:to-stack", "l7", "agent:message", "200"]),
         "event type trace:to-stack or l7 or agent:message or 200"),
        (Filter(from_workload="Deployment/web"), "source workload Deployment/web"),
        (Filter(http_header="a: b"), "http header a:b"),
        (Filter(tcp_flags="syn,ack"), "tcp flags SYN+ACK"),
        (Filter(interface=["eth0", 2]), "interface eth0 or 2"),
        (Filter(reply=False), "reply no"),
        (Filter(cel_expression="true"), "CEL true"),
        (Filter(verdict="drop") | Filter(uuid="x"), "(verdict DROPPED) or (uuid x)"),
    ],
)  # fmt: skip
def test_filters_in_words(chosen: Filter, text: str) -> None:
    assert str(chosen) == text


def test_a_pod_without_a_namespace_is_shown_as_servers_take_it() -> None:
    assert describe_filters([FlowFilter(source_pod=["x"])], []) == "source pod default/x*"


@given(st.text(), st.text())
def test_no_value_reaches_a_terminal_raw(one: str, other: str) -> None:
    messages = [FlowFilter(source_pod=[one], http_path=[other]), FlowFilter(uuid=[other])]
    assert describe_filters(messages, messages[:1]).isprintable()
