"""Which rows a filter of a few fields selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.errors import InvalidRequest
from palomar_server.filters.compiled import CompiledFilter
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_server.table import Rows

NODE_LABELS = ("zone=a",)


def compiled(surroundings: Surroundings | None = None, **fields: Any) -> CompiledFilter:
    """A whitelist of one filter with these fields."""
    surroundings = surroundings or Surroundings(EndpointTable())
    encoder = FlowEncoder(surroundings, "default/node", NODE_LABELS, run_id=1)
    return CompiledFilter([flow_pb2.FlowFilter(**fields)], [], surroundings, encoder)


def view_in(
    rows: Rows,
    surroundings: Surroundings | None = None,
    messages: Sequence[bytes] = (),
    first: int = 0,
    **options: Any,
) -> View:
    """Rows with tables of their own."""
    surroundings = surroundings or Surroundings(EndpointTable())
    encoder = FlowEncoder(surroundings, "default/node", NODE_LABELS, run_id=1)

    def message(number: int) -> bytes:
        return messages[int(rows["message"][number - first]) - 1]

    return View(rows, first, message, encoder, **options)


def selected(
    rows: Rows,
    surroundings: Surroundings | None = None,
    messages: Sequence[bytes] = (),
    **fields: Any,
) -> list[int]:
    """Indices of the rows that a filter with these fields selects."""
    surroundings = surroundings or Surroundings(EndpointTable())
    mask = compiled(surroundings, **fields).mask(view_in(rows, surroundings, messages))
    indices: list[int] = mask.nonzero()[0].tolist()
    return indices


def content(**fields: Any) -> bytes:
    """The message of a flow with these fields."""
    return flow_pb2.Flow(**fields).SerializeToString()


def refusal(**fields: Any) -> str:
    """What a filter with these fields is refused with."""
    with pytest.raises(InvalidRequest) as caught:
        selected(flow_rows(0), **fields)
    return str(caught.value)
