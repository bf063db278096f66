from __future__ import annotations

from palomar_server.catalogue.errors import CatalogueError
from palomar_server.errors import RequestError


def test_a_fault_of_the_database_is_no_fault_of_a_request() -> None:
    assert not issubclass(CatalogueError, RequestError)
