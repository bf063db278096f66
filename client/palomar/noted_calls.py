"""Calls with a stream of answers that note, as the first one comes, which version answers.

They stand between gRPC's calls and our streams, and hand each answer through as it is. One question
they also settle: where a server lacks the method, the error says whom to ask instead.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Generic, Protocol, TypeVar, cast

import grpc

from palomar.rpc import translated
from palomar.server_version import ServerVersions
from palomar.streams import AsyncCall, Call
from palomar.target import Target

AnswerT = TypeVar("AnswerT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)

Metadata = tuple[tuple[str, str | bytes], ...]


class MetadataCall(Call[AnswerT_co], Protocol[AnswerT_co]):
    """What gRPC returns for a call; its own type has no public name."""

    def initial_metadata(self) -> Metadata:
        """What came before the first answer; waits for it."""


class AsyncMetadataCall(AsyncCall[AnswerT_co], Protocol[AnswerT_co]):
    """The same of grpc.aio."""

    async def initial_metadata(self) -> Metadata:
        """What came before the first answer; waits for it."""


class NotedCall(Generic[AnswerT]):
    """A call that notes the server's version.

    Args:
        call: The call itself.
        versions: Where to note it.
        target: Who is asked.
        instead: What to do where the server lacks the method, for the error; empty where somebody
            else deals with that.
    """

    def __init__(
        self, call: MetadataCall[AnswerT], versions: ServerVersions, target: Target, instead: str
    ) -> None:
        self._call = call
        self._versions = versions
        self._target = target
        self._instead = instead

    def __iter__(self) -> Iterator[AnswerT]:
        answers = iter(self._call)
        try:
            for first in answers:
                self._versions.note(self._call.initial_metadata())
                yield first
                break
            else:
                self._versions.note(self._call.initial_metadata())
            yield from answers
        except grpc.RpcError as error:
            note_failure(error, self._versions)
            with translated(self._target, instead=self._instead, only_unsupported=True):
                raise

    def cancel(self) -> bool:
        """End it."""
        return self._call.cancel()


class AsyncNotedCall(Generic[AnswerT]):
    """`NotedCall` for asyncio."""

    def __init__(
        self,
        call: AsyncMetadataCall[AnswerT],
        versions: ServerVersions,
        target: Target,
        instead: str,
    ) -> None:
        self._call = call
        self._versions = versions
        self._target = target
        self._instead = instead

    async def __aiter__(self) -> AsyncIterator[AnswerT]:
        answered = False
        try:
            async for answer in self._call:
                if not answered:
                    answered = True
                    self._versions.note(await self._call.initial_metadata())
                yield answer
            if not answered:
                self._versions.note(await self._call.initial_metadata())
        except grpc.RpcError as error:
            note_failure(error, self._versions)
            with translated(self._target, instead=self._instead, only_unsupported=True):
                raise

    def cancel(self) -> bool:
        """End it."""
        return self._call.cancel()


def note_failure(error: grpc.RpcError, versions: ServerVersions) -> None:
    """Note the version of a server that failed."""
    call = cast("grpc.Call", error)  # whatever gRPC raises is a call as well
    # Of a call cancelled here nothing may have come, and gRPC would wait for it.
    if call.code() is not grpc.StatusCode.CANCELLED:
        versions.note(cast("Metadata | None", call.initial_metadata()))
        # A server that fails at once sends its metadata with the status.
        versions.note(cast("Metadata | None", call.trailing_metadata()))
