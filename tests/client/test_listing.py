import json

from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from palomar.listing import json_text, namespace_rows, node_rows
from palomar_proto.observer.observer_pb2 import TLS, Namespace, Node
from palomar_proto.relay.relay_pb2 import NodeState

NODE = Node(
    name="default/node-1",
    version="cilium v1.19.4",
    address="192.168.1.1:4244",
    state=NodeState.NODE_CONNECTED,
    tls=TLS(enabled=True),
    uptime_ns=3_600_000_000_000,
    num_flows=10,
    max_flows=100,
    seen_flows=36_000,
)


def test_node_shows_age_rate_and_fill() -> None:
    assert node_rows([NODE], wide=False) == [
        ["NAME", "STATUS", "AGE", "FLOWS/S", "CURRENT/MAX-FLOWS"],
        ["default/node-1", "Connected", "1h0m0s", "10.00", "10/100 ( 10.00%)"],
    ]


def test_wide_adds_version_address_and_tls() -> None:
    rows = node_rows([NODE, Node(name="n", tls=TLS())], wide=True)
    assert [row[5:] for row in rows] == [
        ["VERSION", "ADDRESS", "TLS"],
        ["cilium v1.19.4", "192.168.1.1:4244", "Enabled"],
        ["N/A", "", "Disabled"],
    ]


def test_node_of_which_nothing_is_known() -> None:
    strange = Node(state=17, uptime_ns=2**64 - 1)  # type: ignore[arg-type]  # from a newer relay
    young = Node(state=NodeState.NODE_ERROR, uptime_ns=499_999_999)
    unknown = ["N/A"] * 3
    assert node_rows([strange, young], wide=False)[1:] == [
        ["", "Unknown", *unknown],
        ["", "Error", *unknown],
    ]


def test_names_cannot_steer_the_terminal() -> None:
    (_, node) = node_rows([Node(name="\x1b[2J", version="\r", address="\t")], wide=True)
    assert (node[0], node[5], node[6]) == ("^[[2J", "\\r", "\\t")
    (_, namespace) = namespace_rows([Namespace(namespace="\n", cluster="\x9b")], wide=True)
    assert namespace == ["\\n", "\\x9b"]


def test_namespace_without_cluster_is_a_row_of_one() -> None:
    rows = namespace_rows(
        [Namespace(namespace="a", cluster="c"), Namespace(namespace="b")], wide=True
    )
    assert rows == [["NAMESPACE", "CLUSTER"], ["a", "c"], ["b"]]


def test_json_is_indented() -> None:
    text = json_text([Namespace(namespace="a")], strict=False)
    assert text == '[\n  {\n    "namespace": "a"\n  }\n]\n'


def test_no_members_are_null_to_go() -> None:
    assert json_text([], strict=True) == "null\n"
    assert json_text([], strict=False) == "[]\n"


@given(st.text(), st.integers(0, 2**64 - 1))
def test_json_is_exact_and_fit_for_a_terminal(name: str, flows: int) -> None:
    node = Node(name=name, num_flows=flows)
    text = json_text([node], strict=True)
    assert json.loads(text) == [MessageToDict(node, preserving_proto_field_name=True)]
    assert not any(0x7F <= ord(c) < 0xA0 or c in "<>&\u2028\u202e" for c in text)
