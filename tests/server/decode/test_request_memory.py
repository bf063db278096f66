from __future__ import annotations

from palomar_server.decode.request_memory import Request, RequestMemory

HOUR_NS = 3_600_000_000_000


def test_a_request_is_told_once() -> None:
    memory = RequestMemory(4)
    request = Request(5, "trace", 7)
    memory.remember("a", request)
    assert memory.take("b", 8) is None
    assert memory.take("a", 8) == request
    assert memory.take("a", 8) is None


def test_the_oldest_makes_room() -> None:
    memory = RequestMemory(2)
    for name in ("a", "b", "a", "c"):
        memory.remember(name, Request(0, "", 0))
    assert len(memory) == 2
    assert memory.take("b", 0) is None
    assert memory.take("a", 0) is not None


def test_a_request_sent_again_keeps_a_trace_that_only_the_first_told() -> None:
    memory = RequestMemory(2)
    memory.remember("a", Request(1, "first", 1))
    memory.remember("a", Request(2, "", 2))
    assert memory.take("a", 3) == Request(2, "first", 2)
    memory.remember("a", Request(1, "first", 1))
    memory.remember("a", Request(2, "second", 2))
    assert memory.take("a", 3) == Request(2, "second", 2)


def test_requests_expire() -> None:
    memory = RequestMemory(10)
    memory.remember("old", Request(0, "", 0))
    assert memory.take("old", HOUR_NS + 1) is None
    memory.remember("old", Request(0, "", 0))
    memory.remember("new", Request(0, "", HOUR_NS + 1))
    assert len(memory) == 1


def test_ids_of_any_length_cost_little() -> None:
    memory = RequestMemory(10)
    memory.remember("a" * 1025, Request(0, "", 0))
    assert len(memory) == 0


def test_there_may_be_no_memory() -> None:
    memory = RequestMemory(0)
    memory.remember("a", Request(0, "", 0))
    assert memory.take("a", 0) is None
