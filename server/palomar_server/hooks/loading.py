"""Where hooks come from: names in the settings, and entry points of installed distributions.

In: `module:object`, or what `importlib.metadata` knows of the group. Out: hook objects, handed to
whoever registers them. The named object may be a hook, a class, or any function that makes a hook.
"""

from __future__ import annotations

import importlib
import operator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from palomar_server.hooks.errors import HookError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from importlib.metadata import EntryPoint

    Register = Callable[[object, str], None]
    """Takes a hook and its name; raises TypeError or ValueError where it will not have it."""

GROUP = "palomar.hooks"
"""Group of the entry points that are hooks."""


def load_named(names: Iterable[str], register: Register, methods: Collection[str]) -> None:
    """Import hooks named `module:object` and register them under that name.

    Args:
        names: in the order of registration.
        register: takes each.
        methods: names of the methods that make an object a hook.

    Raises:
        HookError: a name cannot be imported, or is no hook.
    """
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            found = operator.attrgetter(attribute)(importlib.import_module(module))
            register(_made(found, methods), name)
        except Exception as error:
            raise HookError(
                f"hook {name!r} cannot be loaded ({error}); name it as module:object"
            ) from error


def load_entry_points(
    names: Collection[str] | None, register: Register, methods: Collection[str]
) -> None:
    """Load entry points of `GROUP`, sorted by name, and register them under that name.

    Args:
        names: those wanted; None for all.
        register: takes each.
        methods: names of the methods that make an object a hook.

    Raises:
        HookError: one cannot be loaded, is no hook, or is wanted and not there.
    """
    if names is not None and not names:
        # Looking through all distributions takes a moment.
        return
    offered = sorted(entry_points(group=GROUP), key=lambda one: (one.name, _owner(one)))
    if missing := sorted(set(names or ()) - {one.name for one in offered}):
        there = ", ".join(one.name for one in offered) or "none"
        raise HookError(
            f"no installed distribution has a hook {missing[0]!r} in {GROUP}; there: {there}"
        )
    for one in offered:
        if names is not None and one.name not in names:
            continue
        try:
            register(_made(one.load(), methods), one.name)
        except Exception as error:
            raise HookError(
                f"hook {one.name!r} of {_owner(one)} cannot be loaded ({error}); mend or remove "
                "that, or leave it out by the setting hook_entry_points"
            ) from error


def _made(found: object, methods: Collection[str]) -> object:
    """The hook that was named, or what the class or factory that was named makes."""
    is_hook = not isinstance(found, type) and any(hasattr(found, method) for method in methods)
    return found() if callable(found) and not is_hook else found


def _owner(one: EntryPoint) -> str:
    """The distribution of an entry point, in words."""
    if one.dist is None:
        return "an unknown distribution"
    return f"the distribution {one.dist.name} {one.dist.version}"
