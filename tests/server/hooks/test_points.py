from __future__ import annotations

import inspect

import pytest

from palomar_server.hooks import Hooks, points

POINTS = {
    name: value
    for name, value in vars(points).items()
    if name.startswith("On") and isinstance(value, type)
}


def methods(point: type) -> list[str]:
    return [name for name in vars(point) if name.startswith("on_")]


def test_there_are_the_seven_points_of_hubble() -> None:
    assert sorted(POINTS) == [
        "OnBuildFilter",
        "OnDecodedEvent",
        "OnDecodedFlow",
        "OnFlowDelivery",
        "OnGetFlows",
        "OnMonitorEvent",
        "OnServerInit",
    ]


@pytest.mark.parametrize("point", POINTS.values())
def test_a_point_is_one_documented_method_with_a_chain_of_its_own(point: type) -> None:
    [method] = methods(point)
    assert inspect.getdoc(getattr(point, method))
    hook = type("Hook", (), {method: lambda *_: None})()
    assert isinstance(hook, point)
    hooks = Hooks()
    hooks.register(hook, "hook")
    assert list(hooks.figures()) == [(method, "hook")]
    assert len(getattr(hooks, method.removeprefix("on_"))) == 1
