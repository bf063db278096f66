from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from palomar.raw_filters import filter_json, raw_filters
from palomar_proto.flow.flow_pb2 import FlowFilter, NetworkInterface, Workload
from palomar_proto.observer.observer_pb2 import GetFlowsRequest

UNICODE = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


def lines(*values: str) -> str:
    request = GetFlowsRequest(whitelist=[FlowFilter(source_label=[one]) for one in values])
    return raw_filters(request)


def test_nothing_is_an_empty_object() -> None:
    assert raw_filters(GetFlowsRequest()) == "{}\n"


def test_both_lists_by_name() -> None:
    request = GetFlowsRequest(
        whitelist=[FlowFilter(source_pod=["a"]), FlowFilter()], blacklist=[FlowFilter(uuid=["x"])]
    )
    assert raw_filters(request) == (
        "allowlist:\n"
        '    - \'{"source_pod":["a"]}\'\n'
        "    - '{}'\n"
        "denylist:\n"
        '    - \'{"uuid":["x"]}\'\n'
    )


def test_fields_are_in_the_order_they_are_declared() -> None:
    message = FlowFilter(
        node_name=["n"],
        source_workload=[Workload(kind="k", name="n")],
        interface=[NetworkInterface(name="eth0")],
        ip_trace_id=[42],
        source_ip_xlated=["1.1.1.1"],
    )
    assert filter_json(message) == (
        '{"source_ip_xlated":["1.1.1.1"],"source_workload":[{"name":"n","kind":"k"}],'
        '"interface":[{"name":"eth0"}],"node_name":["n"],"ip_trace_id":["42"]}'
    )


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a in ('b')", """'{"source_label":["a in (''b'')"]}'"""),
        ("a>b && c<d", r"""'{"source_label":["a\u003eb \u0026\u0026 c\u003cd"]}'"""),
        ("\u2028", r"""'{"source_label":["\u2028"]}'"""),
        ("é\n", r"""'{"source_label":["é\n"]}'"""),
        ("\x7f", r'''"{\"source_label\":[\"\x7F\"]}"'''),
        ("\U0001f600", r'''"{\"source_label\":[\"\U0001F600\"]}"'''),
    ],
)
def test_characters_that_json_or_yaml_write_out(value: str, line: str) -> None:
    assert lines(value) == f"allowlist:\n    - {line}\n"


@given(st.lists(UNICODE, min_size=1, max_size=3))
def test_yaml_reads_it_back(values: list[str]) -> None:
    loaded: dict[str, Any] = yaml.safe_load(lines(*values))
    assert loaded["allowlist"] == [filter_json(FlowFilter(source_label=[one])) for one in values]


@given(UNICODE)
def test_no_control_character_reaches_the_terminal(value: str) -> None:
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in lines(value) if c != "\n")
