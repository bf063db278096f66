"""What was read last from a server that knows no positions, so that none of it is taken twice.

Hubble and its relay can only be asked for what happened since a time. Relays send flows of their
nodes up to seconds out of order, so one asks from a little earlier on, and leaves out what is
remembered of it. Of one node the order holds: if something new of it comes before a repetition,
then the server no longer had what lay between.
"""

from collections import Counter, deque
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from palomar_proto.observer.observer_pb2 import GetFlowsResponse

SPAN_NS: Final = 5_000_000_000
"""How far back to ask: a relay holds flows back for up to a second, and clocks of nodes differ."""

ANSWERS_MAX: Final = 16_384
"""How many answers are remembered: about 4 MB. Where they come faster, the span is shorter."""


_SECOND_NS: Final = 1_000_000_000


def time_ns(time: Timestamp) -> int:
    """A time in ns since the Unix epoch; 0 if it is not set."""
    return time.seconds * _SECOND_NS + time.nanos


def flow_time_ns(response: GetFlowsResponse) -> int:
    """When the event of a response happened, UTC ns; 0 where the fields asked for leave it out."""
    return time_ns(response.time if response.HasField("time") else response.flow.time)


class Overlap:
    """Remembers the answers of the last seconds.

    Args:
        span_ns: How far back, in ns.
        answers_max: No more than so many.
    """

    def __init__(self, span_ns: int = SPAN_NS, answers_max: int = ANSWERS_MAX) -> None:
        self._span_ns = span_ns
        self._answers_max = answers_max
        self._recent: deque[tuple[int, str | int, str]] = deque()
        self._earliest_ns = 0
        self._last_ns = 0
        self._expected: Counter[str | int] = Counter()
        self._expected_until_ns = 0
        self._unheard: dict[str, int] = {}
        self._interrupted: set[str] = set()

    @property
    def last_ns(self) -> int:
        """Time of the newest answer, UTC ns; 0 without any, or where they have no time."""
        return self._last_ns

    @property
    def waiting(self) -> bool:
        """Whether some node that was heard before the interruption has not been heard since."""
        return bool(self._unheard)

    @property
    def interrupted(self) -> tuple[str, ...]:
        """The nodes that went on with something new: what lay between may be missing."""
        return tuple(sorted(self._interrupted))

    def heed_clock(self) -> None:
        """Go by the clock that a node has now, if it was set back while it was read.

        Asked for what it saw since the newest time of all, it would send nothing until its clock
        had got there again. What is behind by more than the span, and came last, is by the new
        clock; the oldest of it is left out, so that a server that looks back until it finds
        something older stops there, and does not go on into what is by the old clock. Not done
        behind a relay, where the clock of one node says nothing about the others.
        """
        recent, limit_ns = self._recent, self._last_ns - self._span_ns
        if not recent or recent[-1][0] >= limit_ns or len({node for _, _, node in recent}) > 1:
            return
        since: list[tuple[int, str | int, str]] = []
        for answer in reversed(recent):
            if answer[0] >= limit_ns:
                break
            since.append(answer)
        self._recent = deque(reversed(since))
        self._last_ns = max(happened_ns for happened_ns, _, _ in since)
        self._earliest_ns = 1 + min(happened_ns for happened_ns, _, _ in since)

    def since_ns(self) -> int:
        """From when on to ask, UTC ns: everything from then on that was read is remembered."""
        return max(self._last_ns - self._span_ns, self._earliest_ns)

    def expect(self) -> None:
        """What was read since `since_ns` is about to be sent once more."""
        since_ns = self.since_ns()
        recent = [one for one in self._recent if one[0] >= since_ns]
        self._expected = Counter(key for _, key, _ in recent)
        self._expected_until_ns = self._last_ns + self._span_ns
        self._unheard = {}
        for happened_ns, _, node_name in recent:
            self._unheard[node_name] = max(happened_ns, self._unheard.get(node_name, 0))
        self._interrupted = set()

    def take(self, happened_ns: int, key: str | int, node_name: str) -> bool:
        """Whether an answer is new; then it is remembered.

        Args:
            happened_ns: When it happened, UTC ns; 0 if not known.
            key: Tells it from others.
            node_name: Where it happened.
        """
        if self._expected:
            if self._expected[key] > 0:
                self._expected[key] -= 1
                self._unheard.pop(node_name, None)
                return False
            self._note_new(node_name, happened_ns)
        if happened_ns:
            self._remember(happened_ns, key, node_name)
        return True

    def _note_new(self, node_name: str, happened_ns: int) -> None:
        """Something new came, where repetitions were expected."""
        if happened_ns > self._unheard.get(node_name, happened_ns):
            del self._unheard[node_name]
            self._interrupted.add(node_name)
        if happened_ns > self._expected_until_ns:
            self._interrupted.update(self._unheard)
            self._unheard.clear()
            self._expected.clear()

    def _remember(self, happened_ns: int, key: str | int, node_name: str) -> None:
        recent = self._recent
        if not self._last_ns:
            # What is older was not asked for, or was not among the last so many.
            self._earliest_ns = happened_ns
        self._last_ns = max(self._last_ns, happened_ns)
        recent.append((happened_ns, key, node_name))
        # A clock that was ahead once may leave nothing.
        while recent and recent[0][0] < self._last_ns - self._span_ns:
            recent.popleft()
        if len(recent) > self._answers_max:
            forgotten_ns, _, _ = recent.popleft()
            self._earliest_ns = max(self._earliest_ns, forgotten_ns + 1)
