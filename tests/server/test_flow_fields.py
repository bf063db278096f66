from __future__ import annotations

import numpy as np
import pytest

from palomar_proto.palomar.v1 import flow_field_pb2
from palomar_server.errors import InvalidRequest
from palomar_server.flow_fields import (
    drop_reason_name,
    flow_property,
    is_of_an_end,
    label_property,
)
from palomar_server.ring_scan import Found
from palomar_server.testing import flow_rows

from .query_flows import core_with_tables

FIELDS = [number for number in flow_field_pb2.FlowField.values() if number]


@pytest.mark.parametrize("field", FIELDS, ids=flow_field_pb2.FlowField.Name)
def test_every_field_has_its_property(field: int) -> None:
    tables = core_with_tables().surroundings
    prop = flow_property(field, "field", tables, lambda _: None, "default/node")
    codes = prop.codes(Found(flow_rows(3), np.arange(3)), "source")
    assert codes.shape == (3,)
    assert len(set(codes.tolist())) == 1
    assert is_of_an_end(field) == (field <= flow_field_pb2.FLOW_FIELD_SERVICE)


def test_unknown_field_is_refused_by_the_name_of_its_place() -> None:
    with pytest.raises(InvalidRequest, match=r"here: 999 is no FlowField"):
        flow_property(999, "here", core_with_tables().surroundings, lambda _: None, "")


def test_drop_reasons_have_ciliums_name_or_the_kernels_or_their_number() -> None:
    names = [drop_reason_name(number) for number in (133, 1_005, 99, 99_999, (1 << 32) - 1)]
    assert names == ["POLICY_DENIED", "NO_SOCKET", "99", "99999", "-1"]


@pytest.mark.parametrize(
    ("key", "values"), [("app", ("web",)), ("k8s:app", ("web",)), ("k8s", ()), ("no", ())]
)
def test_label_has_the_value_of_its_key(key: str, values: tuple[str, ...]) -> None:
    prop = label_property(core_with_tables().surroundings, key)
    codes = prop.codes(Found(flow_rows(source_endpoint=1), np.arange(1)), "source")
    assert prop.values(int(codes[0])) == values
