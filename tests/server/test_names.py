from __future__ import annotations

from palomar_server.address import parse_address
from palomar_server.names import ANY_ENDPOINT, ANY_PORT, Names, Service

ADDRESS = parse_address("192.0.2.1")


def test_each_endpoint_knows_an_address_by_its_own_names() -> None:
    names = Names()
    names.put_dns(7, ADDRESS, ("a.example", "b.example"))
    names.put_dns(8, ADDRESS, ("c.example",))
    assert names.dns(7, ADDRESS) == ("a.example", "b.example")
    assert names.dns(8, ADDRESS) == ("c.example",)
    assert names.dns(9, ADDRESS) == ()
    assert names.dns(7, parse_address("192.0.2.2")) == ()


def test_names_for_everybody_are_told_where_an_endpoint_knows_none() -> None:
    names = Names()
    names.put_dns(ANY_ENDPOINT, ADDRESS, ("written.example",))
    names.put_dns(7, ADDRESS, ("seen.example",))
    assert names.dns(7, ADDRESS) == ("seen.example",)
    assert names.dns(0, ADDRESS) == names.dns(8, ADDRESS) == ("written.example",)
    names.put_dns(7, ADDRESS, None)
    assert names.dns(7, ADDRESS) == ("written.example",)


def test_a_service_of_the_port_wins_over_one_of_any_port() -> None:
    web, rest = Service("web", "shop"), Service("rest", "shop")
    names = Names()
    names.put_service(ADDRESS, 80, web)
    names.put_service(ADDRESS, ANY_PORT, rest)
    assert names.service(ADDRESS, 80) == web
    assert names.service(ADDRESS, 81) == rest
    assert names.service(parse_address("192.0.2.2"), 80) is None


def test_names_are_bounded_and_tell_when_they_change() -> None:
    names = Names(dns_max=1, services_max=1)
    for port in (80, 81):
        names.put_service(ADDRESS, port, Service("web", "shop"))
        names.put_dns(port, ADDRESS, ("a.example",))
    assert names.refused == 2
    assert names.generation == 2
    assert names.service(ADDRESS, 81) is None


def test_services_that_are_known_are_counted() -> None:
    names = Names()
    assert names.services == 0
    names.put_service(ADDRESS, 80, Service("web", "shop"))
    names.put_service(ADDRESS, ANY_PORT, Service("rest", "shop"))
    names.put_dns(7, ADDRESS, ("a.example",))
    assert names.services == 2
    names.put_service(ADDRESS, 80, None)
    assert names.services == 1
