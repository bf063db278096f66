import pytest

from palomar.printers.flow_type import flow_type
from palomar.testing import make_response


@pytest.mark.parametrize(
    ("sub_type", "text"), [(0, "to-endpoint"), (3, "to-stack"), (77, "77"), (256 + 3, "to-stack")]
)
def test_traces_name_the_observation_point(sub_type: int, text: str) -> None:
    flow = make_response(event_type={"type": 4, "sub_type": sub_type}).flow
    assert flow_type(flow, flow.event_type) == text


def test_layer_7_wins_over_the_event() -> None:
    flow = make_response(l7={"type": "SAMPLE", "dns": {"observation_source": "a\nb"}}).flow
    assert flow_type(flow, flow.event_type) == "dns-sample a\\nb"
