"""What decoded type descriptions mean."""

from __future__ import annotations

from typing import Any

import pytest

from palomar_proto.gob import GobError, Marshaler
from palomar_proto.gob.types import (
    Received,
    ReceivedMap,
    ReceivedOpaque,
    ReceivedSequence,
    ReceivedStruct,
    received,
)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"ArrayT": {"Elem": 2, "Len": 3}}, ReceivedSequence(2, 3)),
        ({"SliceT": {"Elem": 6}}, ReceivedSequence(6, None)),
        ({"MapT": {"Key": 6, "Elem": 2}}, ReceivedMap(6, 2)),
        (
            {"StructT": {"CommonType": {"Name": "S"}, "Field": [{"Name": "A", "Id": 2}]}},
            ReceivedStruct("S", (("A", 2),)),
        ),
        ({"StructT": {}}, ReceivedStruct("", ())),
        (
            {"GobEncoderT": {"CommonType": {"Name": "Time"}}},
            ReceivedOpaque("Time", Marshaler.GOB),
        ),
        ({"TextMarshalerT": {}}, ReceivedOpaque("", Marshaler.TEXT)),
    ],
)
def test_each_kind_is_understood(described: dict[str, Any], expected: Received) -> None:
    assert received(described) == expected


@pytest.mark.parametrize("described", [{}, {"ArrayT": {"Elem": 2, "Len": -1}}])
def test_description_of_nothing_is_refused(described: dict[str, Any]) -> None:
    with pytest.raises(GobError):
        received(described)
