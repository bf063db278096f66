from __future__ import annotations

import pytest

from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.table import Kind
from palomar_server.testing import event_row, flow_rows
from tests.server.filters.selecting import compiled, content, refusal, selected, view_in


@pytest.fixture
def surroundings() -> Surroundings:
    surroundings = Surroundings(EndpointTable())
    endpoint = Endpoint(identity=1_000, labels=("k8s:app=web",))
    surroundings.endpoints.upsert("web", endpoint, (), at_ns=0)
    surroundings.identities.put(1_001, ("k8s:app=db",))
    return surroundings


# The endpoint's own identity, another one, one that nobody knows; then nobody's addresses.
ROWS = flow_rows(
    5, source_endpoint=[1, 1, 1, 0, 0], source_identity=[1_000, 1_001, 1_002, 2, 1_001]
)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=web", [0, 2]),
        ("k8s:app=db", [1, 4]),
        ("reserved:world", [3]),
        ("!app", [3]),
        ("app", [0, 1, 2, 4]),
    ],
)
def test_labels_are_those_that_the_flow_is_sent_with(
    surroundings: Surroundings, selector: str, expected: list[int]
) -> None:
    assert selected(ROWS, surroundings, source_label=[selector]) == expected


def test_an_identity_that_gets_other_labels_is_asked_anew(surroundings: Surroundings) -> None:
    found = compiled(surroundings, source_label=["app=cache"])
    assert found.mask(view_in(ROWS)).tolist() == [False] * 5
    surroundings.identities.put(1_001, ("k8s:app=cache",))
    assert found.mask(view_in(ROWS)).tolist() == [False, True, False, False, True]


def test_a_message_tells_the_labels_of_its_time(surroundings: Surroundings) -> None:
    message = content(source={"labels": ["k8s:app=old"]})
    rows = flow_rows(2, source_endpoint=1, source_identity=1_000, message=[0, 1])
    assert selected(rows, surroundings, [message], source_label=["app=old"]) == [1]
    assert selected(rows, surroundings, [message], source_label=["app=web"]) == [0]


def test_what_is_no_flow_has_no_labels() -> None:
    rows = event_row(Kind.AGENT)
    assert selected(rows, messages=[b""], destination_label=["!app"]) == [0]
    assert selected(rows, messages=[b""], destination_label=["app"]) == []


def test_what_is_no_selector_is_refused() -> None:
    assert refusal(source_label=["a in"]).startswith("whitelist[0].source_label: 'a in' ")
