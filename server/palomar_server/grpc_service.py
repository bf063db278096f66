"""Binds functions to the methods of a gRPC service, by the service's descriptor."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from palomar_server.peer import Peer

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

Unary: TypeAlias = Callable[[Any, Peer], Message | Awaitable[Message]]
"""One request, one response."""
Streaming: TypeAlias = Callable[[Any, Peer], AsyncGenerator[list[bytes], None]]
"""One request, many responses: lists of serialised messages, each list sent in one go."""
Conversation: TypeAlias = Callable[[AsyncIterator[Any], Peer], AsyncGenerator[list[bytes], None]]
"""Requests as they come, until the client ends them or leaves; responses as above."""


class Shape(Enum):
    """How many messages go which way."""

    UNARY = "one request, one response"
    STREAMING = "one request, a stream of responses"
    CONVERSATION = "streams both ways"


@dataclass(frozen=True, slots=True)
class Method:
    """A method that is served."""

    path: str
    """As in the request: "/package.Service/Method"."""
    shape: Shape
    request_type: type[Message]
    function: Callable[..., Any]
    """A `Unary`, `Streaming` or `Conversation`, by `shape`."""


class Service:
    """A service of which some or all methods are served.

    What shape a method has and what it is asked with stands in the descriptor, and so cannot be
    bound wrong.

    Args:
        descriptor: of the service.
        functions: by method name; the others answer UNIMPLEMENTED.

    Raises:
        ValueError: there is no such method, or one to which only a stream of requests goes.
    """

    def __init__(
        self,
        descriptor: ServiceDescriptor,
        functions: Mapping[str, Unary | Streaming | Conversation],
    ) -> None:
        self.name = descriptor.full_name
        self.method_names = frozenset(descriptor.methods_by_name)
        if unknown := sorted(functions.keys() - self.method_names):
            raise ValueError(f"{self.name} has no {', '.join(unknown)}")
        self.methods = {
            f"/{self.name}/{name}": Method(
                f"/{self.name}/{name}",
                _shape(descriptor.methods_by_name[name]),
                GetMessageClass(descriptor.methods_by_name[name].input_type),
                function,
            )
            for name, function in functions.items()
        }


def _shape(method: MethodDescriptor) -> Shape:
    if not method.client_streaming:
        return Shape.STREAMING if method.server_streaming else Shape.UNARY
    if not method.server_streaming:
        raise ValueError(f"{method.full_name} takes a stream and gives one response")
    return Shape.CONVERSATION
