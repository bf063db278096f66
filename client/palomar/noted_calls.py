"""Calls with a stream of answers that note, as the first one comes, which version answers.

They stand between gRPC's calls and our streams, and hand each answer through as it is. One question
they also settle: where a server lacks the method, the error says whom to ask instead.
"""

import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import grpc

from palomar.rpc import readable, translated
from palomar.server_version import ServerVersions
from palomar.streams import AsyncCall, Call
from palomar.target import Target

AnswerT = TypeVar("AnswerT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)

_CANCELLED: Final = grpc.StatusCode.CANCELLED.value[0]

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

    _process = 0
    """Of none, until it is made: a second Ctrl-C may come in the middle of that."""

    def __init__(
        self, call: MetadataCall[AnswerT], versions: ServerVersions, target: Target, instead: str
    ) -> None:
        self._call = call
        self._versions = versions
        self._target = target
        self._instead = instead
        self._lock = threading.Lock()
        self._readers = 0
        self._drained = False
        self._process = os.getpid()

    def __iter__(self) -> Iterator[AnswerT]:
        with self._lock:
            self._readers += 1
        over = False
        try:
            answers = iter(self._call)
            for first in answers:
                self._versions.note(self._call.initial_metadata())
                yield first
                break
            else:
                self._versions.note(self._call.initial_metadata())
            yield from answers
            over = True
        except GeneratorExit:
            over = True
            raise
        except grpc.RpcError as error:
            note_failure(error, self._versions)
            over = True
            with translated(self._target, instead=self._instead, only_unsupported=True):
                raise
        finally:
            # A signal may have raised anything else in the middle of reading. What is due is then
            # not known any more, and to wait for it could be for ever.
            self._drained |= not over
            self._leave()

    def cancel(self) -> bool:
        """End it."""
        cancelled = self._call.cancel()
        with self._lock:
            self._drain()
        return cancelled

    def __del__(self) -> None:
        # Another process than the one that made the call has none of gRPC's threads.
        if not sys.is_finalizing() and self._process == os.getpid():
            self.cancel()

    def _leave(self) -> None:
        """Nobody reads on, or not this one."""
        with self._lock:
            self._readers -= 1
            if not self._readers and self._process == os.getpid():
                self._call.cancel()
                self._drain()

    def _drain(self) -> None:
        """Take from gRPC what it still has to say of a call that is over, unless somebody reads.

        A call of the kind that is read on the thread of its reader (see `rpc`) stays in the memory
        of its channel, some 18 KB of it, until all of that was taken; and once it was cancelled,
        gRPC takes no more by itself. There is no public way to do it.
        """
        if self._readers or self._drained:
            return
        self._drained = True  # even if a signal interrupts it: see above
        call: Any = self._call
        due = getattr(getattr(call, "_state", None), "due", None)
        if not (due and hasattr(call, "_consume_next_event")):
            return
        # After an answer that it could not read gRPC counts the call as over, but never ended it.
        call._call.cancel(_CANCELLED, "")  # noqa: SLF001 - as the docstring says
        while due:
            call._consume_next_event()  # noqa: SLF001 - likewise


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
        self._read = False

    async def __aiter__(self) -> AsyncIterator[AnswerT]:
        self._read = True
        answered = False
        try:
            async for answer in self._call:
                if not answered:
                    answered = True
                    self._versions.note(await self._call.initial_metadata())
                yield readable(answer, self._target)
            if not answered:
                self._versions.note(await self._call.initial_metadata())
        except grpc.RpcError as error:
            note_failure(error, self._versions)
            with translated(self._target, instead=self._instead, only_unsupported=True):
                raise

    def cancel(self) -> bool:
        """End it."""
        return self._call.cancel()

    def __del__(self) -> None:
        # Of a call that nobody ever read, tasks of gRPC's would go on.
        if not (self._read or sys.is_finalizing()):
            with suppress(RuntimeError):  # its event loop may be closed
                self._call.cancel()


def note_failure(error: grpc.RpcError, versions: ServerVersions) -> None:
    """Note the version of a server that failed."""
    call = cast("grpc.Call", error)  # whatever gRPC raises is a call as well
    # Of a call cancelled here nothing may have come, and gRPC would wait for it.
    if call.code() is not grpc.StatusCode.CANCELLED:
        versions.note(cast("Metadata | None", call.initial_metadata()))
        # A server that fails at once sends its metadata with the status.
        versions.note(cast("Metadata | None", call.trailing_metadata()))
