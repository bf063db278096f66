"""FilterHints: which values a field has in the ring's flows, and what a typo may have meant."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from heapq import nsmallest
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.palomar.v1 import hints_pb2
from palomar_server.ring_scan import STEP_S
from palomar_server.vocabulary import pair_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from palomar_server.flow_property import Property
    from palomar_server.ring_scan import Found

SIMILAR_MAX = 5
SIMILAR_CANDIDATES_MAX = 1_000
"""Values compared with a search that found none, those with the most flows: some 20 µs each."""
SIMILAR_LEAST = 0.6
"""The ratio of `difflib` from which on two texts are alike, as `difflib.get_close_matches` has."""
_VALUES_BEFORE_PAUSE = 500
_WORD_BORDERS = "/:="
_HALF_BITS = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFF_FFFF)


@dataclass(slots=True)
class _Counts:
    """Flows by value."""

    flows: Counter[str] = field(default_factory=Counter)
    as_source: Counter[str] = field(default_factory=Counter)
    as_destination: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, int] = field(default_factory=dict)


class Search:
    """Which values a search text finds.

    Args:
        text: in any case; empty finds all.
        kind: where in a value it is looked for.
    """

    def __init__(self, text: str, kind: int = hints_pb2.SEARCH_KIND_PREFIX) -> None:
        self.text = text.casefold()
        self._anywhere = kind == hints_pb2.SEARCH_KIND_SUBSTRING
        self._behind = tuple(border + self.text for border in _WORD_BORDERS)

    def finds(self, value: str) -> bool:
        """Whether the text is in the value."""
        folded = value.casefold()
        if self._anywhere:
            return self.text in folded
        return folded.startswith(self.text) or any(text in folded for text in self._behind)

    async def similar(self, values: Iterable[str]) -> list[str]:
        """The values most alike to the text, the most alike first."""
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(self.text)
        alike: list[tuple[float, str]] = []
        pause_s = 0.0
        for value in values:
            # By the clock: values that traffic brings may be made to take a thousand times as long.
            if time.perf_counter() >= pause_s:
                await asyncio.sleep(0)
                pause_s = time.perf_counter() + STEP_S
            readings = _readings(value.casefold(), len(self.text))
            ratio = max(_likeness(matcher, text) for text in readings)
            if ratio >= SIMILAR_LEAST:
                alike.append((-ratio, value))
        return [value for _, value in sorted(alike)[:SIMILAR_MAX]]


def _readings(value: str, length: int) -> set[str]:
    """The value, its last part, and the begin of both as long as the text.

    People leave out the namespace of a pod, and what its Deployment put behind its name.
    """
    last = value[max(value.rfind(border) for border in _WORD_BORDERS) + 1 :]
    return {value, last, value[:length], last[:length]}


def _likeness(matcher: SequenceMatcher[str], text: str) -> float:
    matcher.set_seq1(text)
    # Bounds from above, which cost next to nothing.
    if matcher.real_quick_ratio() < SIMILAR_LEAST or matcher.quick_ratio() < SIMILAR_LEAST:
        return 0.0
    return matcher.ratio()


class Hints:
    """Counts the values of one property.

    Args:
        prop: whose values.
        of_an_end: whether each end has them.
        search: which values.
        limit: how many to give.
    """

    def __init__(self, prop: Property, search: Search, limit: int, *, of_an_end: bool) -> None:
        self._property = prop
        self._of_an_end = of_an_end
        self._search = search
        self._limit = limit
        self._keys: list[NDArray[np.uint64]] = []
        self._key_counts: list[NDArray[np.int64]] = []

    def add(self, found: Found) -> None:
        """Count flows."""
        source = self._property.codes(found, "source")
        destination = self._property.codes(found, "destination") if self._of_an_end else source
        keys, counts = np.unique(pair_keys(source, destination), return_counts=True)
        self._keys.append(keys)
        self._key_counts.append(counts)

    async def response(self) -> hints_pb2.FilterHintsResponse:
        """The values, without the coverage."""
        counts = await self._count()
        distinct, best = await self._largest(counts, self._search, self._limit)
        response = hints_pb2.FilterHintsResponse(
            hints=[self._hint(counts, value) for value in best],
            distinct=distinct,
            truncated=distinct > self._limit,
        )
        if not distinct and self._search.text:
            _, frequent = await self._largest(counts, Search(""), SIMILAR_CANDIDATES_MAX)
            similar = await self._search.similar(frequent)
            response.similar.extend(self._hint(counts, value) for value in similar)
        return response

    async def _largest(self, counts: _Counts, search: Search, limit: int) -> tuple[int, list[str]]:
        """How many values a search finds, and those of them with the most flows, in order."""
        distinct, best = 0, list[tuple[int, str]]()
        found: list[tuple[int, str]] = []
        for done, (value, flows) in enumerate(counts.flows.items()):
            if done % _VALUES_BEFORE_PAUSE == 0:
                best, found = nsmallest(limit, best + found), []
                await asyncio.sleep(0)
            if search.finds(value):
                distinct += 1
                found.append((-flows, value))
        return distinct, [value for _, value in nsmallest(limit, best + found)]

    async def _count(self) -> _Counts:
        """Flows by value, from flows by pairs of codes."""
        keys, counts = self._pairs()
        source = (keys >> _HALF_BITS).astype(np.int64)
        total = _Counts()
        if not self._of_an_end:
            await self._distribute(source, counts, (total.flows,), total.numbers)
            return total
        destination = (keys & _LOW_HALF).astype(np.int64)
        await self._distribute(source, counts, (total.flows, total.as_source))
        await self._distribute(destination, counts, (total.flows, total.as_destination))
        # Those that have a value at both ends were counted twice.
        same = source == destination
        await self._distribute(source[same], -counts[same], (total.flows,))
        if self._property.many:
            ends = zip(source[~same].tolist(), destination[~same].tolist(), strict=True)
            await self._take_back(list(ends), counts[~same].tolist(), total.flows)
        return total

    def _pairs(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The distinct pairs of a code at the source and one at the destination, and flows."""
        if not self._keys:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        keys, places = np.unique(np.concatenate(self._keys), return_inverse=True)
        counts = np.bincount(places, np.concatenate(self._key_counts), len(keys))
        return keys, counts.astype(np.int64)

    async def _distribute(
        self,
        codes: NDArray[np.int64],
        counts: NDArray[np.int64],
        into: Sequence[Counter[str]],
        numbers: dict[str, int] | None = None,
    ) -> None:
        """Add flows by code to each of the code's values."""
        by_code = np.bincount(codes, counts).astype(np.int64)
        present = by_code.nonzero()[0]
        pairs = zip(present.tolist(), by_code[present].tolist(), strict=True)
        for done, (code, flows) in enumerate(pairs):
            if done % _VALUES_BEFORE_PAUSE == 0:
                await asyncio.sleep(0)
            for value in self._property.values(code):
                for counter in into:
                    counter[value] += flows
                if numbers is not None and (number := self._property.number(code)) is not None:
                    numbers[value] = number

    async def _take_back(
        self, ends: list[tuple[int, int]], counts: list[int], flows: Counter[str]
    ) -> None:
        """Count once what different sets of values at the two ends have in common."""
        sets: dict[int, frozenset[str]] = {}
        for done, (codes, count) in enumerate(zip(ends, counts, strict=True)):
            if done % _VALUES_BEFORE_PAUSE == 0:
                await asyncio.sleep(0)
            for code in codes:
                if code not in sets:
                    sets[code] = frozenset(self._property.values(code))
            for value in sets[codes[0]] & sets[codes[1]]:
                flows[value] -= count

    def _hint(self, counts: _Counts, value: str) -> hints_pb2.Hint:
        hint = hints_pb2.Hint(
            value=value,
            flows=counts.flows[value],
            flows_as_source=counts.as_source[value],
            flows_as_destination=counts.as_destination[value],
        )
        if value in counts.numbers:
            hint.number = counts.numbers[value]
        return hint
