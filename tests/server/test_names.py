from __future__ import annotations

from palomar_server.address import parse_address
from palomar_server.names import Names, Service

ADDRESS = parse_address("192.0.2.1")


def test_dns_names_are_found_by_address() -> None:
    names = Names(dns_names={ADDRESS: ("a.example", "b.example")})
    assert names.dns(ADDRESS) == ("a.example", "b.example")
    assert names.dns(parse_address("192.0.2.2")) == ()


def test_a_service_of_the_port_wins_over_one_of_any_port() -> None:
    web, rest = Service("web", "shop"), Service("rest", "shop")
    names = Names(services={(ADDRESS, 80): web, (ADDRESS, 0): rest})
    assert names.service(ADDRESS, 80) == web
    assert names.service(ADDRESS, 81) == rest
    assert names.service(parse_address("192.0.2.2"), 80) is None
