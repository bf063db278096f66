"""The chains that are asked about the daemon's start, filters and requests rather than rows.

An error means something else in each: the start ends, the request is refused, the hook is passed
over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.observer import observer_pb2
from palomar_server.errors import HookFailed, InvalidRequest, RequestError
from palomar_server.hooks.chain import Chain, checked
from palomar_server.hooks.errors import HookError
from palomar_server.hooks.points import OnBuildFilter, OnGetFlows, OnServerInit

if TYPE_CHECKING:
    from palomar_proto.flow import flow_pb2
    from palomar_server.filters.predicate import Predicate
    from palomar_server.hooks.chain import Registered
    from palomar_server.hooks.server import Server
    from palomar_server.peer import Peer
    from palomar_server.table import Mask
    from palomar_server.view import View

_REASON_CHARACTERS_MAX = 300
"""Of a hook's error in a status, which travels as metadata and has a limit of its own."""


class ServerInitChain(Chain[OnServerInit]):
    """Hooks that make ready before the daemon takes its first event."""

    def run(self, server: Server) -> None:
        """Call all hooks.

        Raises:
            HookError: one failed; those behind it were not called.
        """
        for one in self._hooks:
            started = self._clock()
            try:
                one.hook.on_server_init(server)
            except Exception as error:
                self._failed(one, error, "the daemon does not start")
                raise HookError(f"hook {one.name} failed at the start: {_text(error)}") from error
            finally:
                self._took(one, self._clock() - started)


class BuildFilterChain(Chain[OnBuildFilter]):
    """Hooks that add conditions to filters."""

    def run(self, flow_filter: flow_pb2.FlowFilter) -> list[Predicate]:
        """The conditions of all hooks; they are counted for their hook when they run.

        Raises:
            InvalidRequest: a hook failed, which may be its way to refuse the filter.
        """
        conditions: list[Predicate] = []
        for one in self._hooks:
            started = self._clock()
            try:
                added = list(one.hook.on_build_filter(flow_filter) or ())
                conditions += [self._counted(one, condition) for condition in added]
            except Exception as error:
                if isinstance(error, RequestError | ValueError):
                    one.figures.stopped += 1
                else:
                    self._failed(one, error, "the filter is refused")
                rule = f"is refused by hook {one.name}: {_text(error)}"
                raise InvalidRequest("filter", str(flow_filter), rule) from error
            finally:
                self._took(one, self._clock() - started)
        return conditions

    def _counted(self, one: Registered[OnBuildFilter], condition: Predicate) -> Predicate:
        """The condition, with its costs on the hook's account."""
        if not callable(condition):
            raise TypeError(f"{condition!r} is no condition: it cannot be called")

        def counted(view: View) -> Mask:
            started = self._clock()
            try:
                mask = checked(condition(view), len(view))
            except Exception as error:
                self._failed(one, error, "the stream ends")
                raise HookFailed(f"hook {one.name} failed: {_text(error)}") from error
            finally:
                self._took(one, self._clock() - started)
            one.figures.rows += len(view)
            one.figures.stopped += len(view) - int(np.count_nonzero(mask))
            return mask

        return counted


class GetFlowsChain(Chain[OnGetFlows]):
    """Hooks that may change or refuse a request."""

    def run(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer
    ) -> observer_pb2.GetFlowsRequest:
        """The request to serve; the one that is given is never changed.

        Raises:
            RequestError: a hook refused it, usually with `Refused`.
        """
        for one in self._hooks:
            copy = observer_pb2.GetFlowsRequest()
            copy.CopyFrom(request)
            started = self._clock()
            try:
                request = _answer(one.hook.on_get_flows(copy, peer), request)
            except RequestError:
                one.figures.stopped += 1
                raise
            except Exception as error:  # noqa: BLE001 - the border to what users wrote
                self._failed(one, error, "the request goes on unchanged")
            finally:
                self._took(one, self._clock() - started)
        return request


def _answer(
    answer: object, unchanged: observer_pb2.GetFlowsRequest
) -> observer_pb2.GetFlowsRequest:
    if answer is None:
        return unchanged
    if not isinstance(answer, observer_pb2.GetFlowsRequest):
        raise TypeError(f"the answer is {type(answer).__name__}, not GetFlowsRequest or None")
    return answer


def _text(error: Exception) -> str:
    """What a hook's error says, in a line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _REASON_CHARACTERS_MAX else text[:_REASON_CHARACTERS_MAX] + "…"
