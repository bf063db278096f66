from palomar_server.hooks import HookFigures


def test_a_hook_that_was_not_called_has_cost_nothing() -> None:
    assert HookFigures() == HookFigures(
        calls=0, rows=0, stopped=0, errors=0, overruns=0, seconds=0.0
    )
