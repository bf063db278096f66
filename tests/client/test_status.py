from google.protobuf.wrappers_pb2 import UInt32Value

from palomar.status import status_dict, status_table, status_text
from palomar_proto.observer.observer_pb2 import ServerStatusResponse

RELAY = ServerStatusResponse(
    num_flows=4095,
    max_flows=4095,
    seen_flows=2973,
    uptime_ns=36_187_010_000_000,
    num_connected_nodes=UInt32Value(value=3),
    num_unavailable_nodes=UInt32Value(value=3),
    unavailable_nodes=["west/b", "west/\x1b[2Ja"],
    version="hubble-relay v1.19.4",
    flows_rate=12.3456,
)


def test_node_shows_fill_and_rate() -> None:
    status = ServerStatusResponse(num_flows=1000, max_flows=4095, flows_rate=0.5)
    assert status_text(status) == "Current/Max Flows: 1,000/4,095 (24.42%)\nFlows/s: 0.50\n"


def test_rate_falls_back_to_the_mean_since_the_start() -> None:
    status = ServerStatusResponse(seen_flows=30, uptime_ns=20 * 10**9)
    assert "Flows/s: 1.50\n" in status_text(status)
    assert "Flows/s: N/A\n" in status_text(ServerStatusResponse())
    assert "Flows/s: N/A\n" in status_text(ServerStatusResponse(seen_flows=1, uptime_ns=2**64 - 1))


def test_rates_that_are_none() -> None:
    for rate in (-1.0, float("nan")):
        assert "Flows/s: N/A\n" in status_text(ServerStatusResponse(flows_rate=rate))
    assert "Flows/s: +Inf\n" in status_text(ServerStatusResponse(flows_rate=float("inf")))


def test_relay_lists_nodes_it_cannot_reach() -> None:
    lines = status_text(RELAY).splitlines()
    assert lines[2:] == [
        "Connected Nodes: 3/6",
        "Unavailable Nodes: 3",
        "  - west/^[[2Ja",
        "  - west/b",
        "  - and 1 more...",
    ]


def test_dict_has_a_key_a_line() -> None:
    assert status_dict(RELAY).splitlines() == [
        "          NUM FLOWS: 4,095",
        "          MAX FLOWS: 4,095",
        "         SEEN FLOWS: 2,973",
        "   FLOWS PER SECOND: 12.35",
        "             UPTIME: 10h3m7.01s",
        "NUM CONNECTED NODES: 3",
        " NUM UNAVAIL. NODES: 3",
        "            VERSION: hubble-relay v1.19.4",
    ]


def test_table_has_a_key_a_column() -> None:
    heading, values = status_table(ServerStatusResponse(version="v\tx")).splitlines()
    assert heading.split("   ")[-2:] == ["NUM UNAVAILABLE NODES", "VERSION"]
    assert values.split() == ["0", "0", "0", "N/A", "0s", "N/A", "N/A", "v\\tx"]
    assert values.index("v") == heading.index("VERSION")
