from __future__ import annotations

from palomar_server.address import parse_address
from palomar_server.endpoints import EndpointTable
from palomar_server.names import ANY_PORT, Service
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import compiled, content, refusal, selected, view_in

ADDRESS = parse_address("10.0.0.1")
ROWS = flow_rows(
    3,
    destination_hi=ADDRESS[0],
    destination_lo=[ADDRESS[1], ADDRESS[1], ADDRESS[1] + 1],
    destination_port=[80, 443, 80],
)


def test_services_match_by_address_and_port() -> None:
    surroundings = Surroundings(EndpointTable())
    surroundings.names.put_service(ADDRESS, 80, Service("web", "shop"))
    surroundings.names.put_service(ADDRESS, ANY_PORT, Service("all", "default"))
    assert selected(ROWS, surroundings, destination_service=["shop/w"]) == [0]
    assert selected(ROWS, surroundings, destination_service=["all"]) == [1]
    assert selected(ROWS, surroundings, destination_service=["/"]) == [0, 1]
    assert selected(ROWS, surroundings, source_service=["/"]) == []


def test_a_service_that_comes_later_is_seen() -> None:
    surroundings = Surroundings(EndpointTable())
    found = compiled(surroundings, destination_service=["shop/"])
    assert found.mask(view_in(ROWS)).tolist() == [False] * 3
    surroundings.names.put_service(ADDRESS, 443, Service("web", "shop"))
    assert found.mask(view_in(ROWS)).tolist() == [False, True, False]


def test_a_message_tells_its_service() -> None:
    message = content(source_service={"name": "web", "namespace": "shop"})
    rows = flow_rows(1, message=1)
    assert selected(rows, messages=[message], source_service=["shop/"]) == [0]


def test_an_empty_value_is_refused() -> None:
    assert refusal(source_service=[""]).startswith("whitelist[0].source_service: '' is empty")
