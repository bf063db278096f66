from palomar_server.hooks.testing import FakeSeconds, FakeServer
from palomar_server.testing import Core


def test_the_server_is_that_of_the_core_it_is_given() -> None:
    core = Core()
    server = FakeServer(core)
    assert (server.ring, server.node_name) == (core.ring, "default/node")
    assert FakeServer().core is not core


def test_seconds_pass_when_told() -> None:
    clock = FakeSeconds()
    clock.advance(1.5)
    assert clock() == 1.5
