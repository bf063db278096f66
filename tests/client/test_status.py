from google.protobuf.wrappers_pb2 import UInt32Value

from palomar.status import status_text
from palomar_proto.observer.observer_pb2 import ServerStatusResponse


def test_node_shows_fill_and_rate() -> None:
    status = ServerStatusResponse(num_flows=1000, max_flows=4095, flows_rate=0.5)
    assert status_text(status) == "Current/Max Flows: 1,000/4,095 (24.42%)\nFlows/s: 0.50\n"


def test_rate_falls_back_to_the_mean_since_the_start() -> None:
    status = ServerStatusResponse(seen_flows=30, uptime_ns=20 * 10**9)
    assert "Flows/s: 1.50\n" in status_text(status)
    assert "Flows/s: N/A\n" in status_text(ServerStatusResponse())


def test_relay_lists_nodes_it_cannot_reach() -> None:
    status = ServerStatusResponse(
        num_connected_nodes=UInt32Value(value=3),
        num_unavailable_nodes=UInt32Value(value=3),
        unavailable_nodes=["west/b", "west/\x1b[2Ja"],
    )
    lines = status_text(status).splitlines()
    assert lines[2:] == [
        "Connected Nodes: 3/6",
        "Unavailable Nodes: 3",
        "  - west/^[[2Ja",
        "  - west/b",
        "  - and 1 more...",
    ]
