from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.names import ANY_ENDPOINT
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import compiled, refusal, selected, view_in

ADDRESS = parse_address("192.0.2.1")
ROWS = flow_rows(
    3,
    source_endpoint=[0, 1, 2],
    destination_hi=ADDRESS[0],
    destination_lo=ADDRESS[1],
)


def tables() -> Surroundings:
    surroundings = Surroundings(EndpointTable())
    for number in (1, 2):
        surroundings.endpoints.upsert(str(number), Endpoint(id=number), (), at_ns=0)
    surroundings.names.put_dns(ANY_ENDPOINT, ADDRESS, ("www.example.com", "example.com"))
    surroundings.names.put_dns(2, ADDRESS, ("api.example.com",))
    return surroundings


def test_names_are_those_by_which_the_other_end_knows_the_address() -> None:
    surroundings = tables()
    assert selected(ROWS, surroundings, destination_fqdn=["example.com"]) == [0, 1]
    assert selected(ROWS, surroundings, destination_fqdn=["api.*"]) == [2]
    assert selected(ROWS, surroundings, destination_fqdn=["*.example.com"]) == [0, 1, 2]
    assert selected(ROWS, surroundings, source_fqdn=["*"]) == []


def test_a_name_that_comes_later_is_seen() -> None:
    surroundings = tables()
    found = compiled(surroundings, destination_fqdn=["new.org"])
    assert found.mask(view_in(ROWS)).tolist() == [False] * 3
    surroundings.names.put_dns(1, ADDRESS, ("new.org",))
    assert found.mask(view_in(ROWS)).tolist() == [False, True, False]


def test_a_message_tells_the_names_of_its_time() -> None:
    message = flow_pb2.Flow(source_names=["old.org"]).SerializeToString()
    assert selected(flow_rows(1, message=1), messages=[message], source_fqdn=["old.org"]) == [0]


def test_what_is_no_name_is_refused() -> None:
    assert refusal(source_fqdn=["a b"]).startswith("whitelist[0].source_fqdn: 'a b' has ' '")
