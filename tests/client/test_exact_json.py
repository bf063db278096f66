import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.exact_json import refuse_loose
from palomar_proto.flow.flow_pb2 import FlowFilter

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["verdict", "event_type", "type", "uuid", "experimental", "nope"]), inner
    ),
    max_leaves=9,
)  # fmt: skip


@given(JSON)
def test_anything_is_judged(value: object) -> None:
    try:
        refuse_loose(value, FlowFilter.DESCRIPTOR)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - anything may also be right


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "1e3", "2E-1"])
def test_numbers_as_json_writes_them(number: str) -> None:
    refuse_loose({"source_identity": [number]}, FlowFilter.DESCRIPTOR)


@pytest.mark.parametrize("number", ["", "+1", "01", "0x1", "1.", ".5", " 1", "1_0", "NaN"])
def test_numbers_as_json_does_not_write_them(number: str) -> None:
    with pytest.raises(ValueError, match="source_identity"):
        refuse_loose({"source_identity": [number]}, FlowFilter.DESCRIPTOR)
