"""What flows are told apart by: one class for each way in which values stand in rows.

A property numbers the distinct values it meets, so that flows are counted as columns of numbers;
text is made only of values that somebody is told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_server.address import format_address
from palomar_server.table import Flag
from palomar_server.table import Protocol as Transport
from palomar_server.vocabulary import AddressVocabulary, Vocabulary, pair_keys, split_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from palomar_proto.flow import flow_pb2
    from palomar_server.ring_scan import Found
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows
    from palomar_server.vocabulary import Codes

    Values: TypeAlias = tuple[str, ...]
    """What a flow has of a property: nothing, one value or several."""
    RecordOf: TypeAlias = Callable[[int], flow_pb2.Flow | None]
    """The message of a row, by its number in the ring; None if it is gone."""

End: TypeAlias = Literal["source", "destination"]

VALUE_CHARACTERS_MAX = 1_024
"""Longer values are cut: as beginnings they are still good for filters, which look for prefixes or
patterns; and an answer stays below what gRPC clients take."""

_SOCKET_EVENT = np.uint8(MessageType.TRACE_SOCK)
_HAS_PORTS = np.zeros(256, np.bool_)
_HAS_PORTS[[Transport.TCP, Transport.UDP, Transport.SCTP]] = True


class Property(Protocol):
    """Reads one property of flows, during one query."""

    many: bool
    """Whether a flow may have several values of it."""

    def codes(self, found: Found, end: End) -> Codes:
        """A number for the values of each flow, shape (n,), the same for the same values.

        Args:
            found: n flows.
            end: at which end; properties that are not of an end do not care.
        """

    def values(self, code: int) -> Values:
        """The values behind a number."""

    def number(self, code: int) -> int | None:
        """The number that the value is the name of; None for values that are no such names."""


class NumberProperty:
    """Values that are numbers in a column, or names of these.

    Args:
        read: gives the numbers, shape (n,), and which rows have one.
        name: writes one.
        is_name: whether the number is worth telling besides.
    """

    many = False

    def __init__(
        self,
        read: Callable[[Rows, End], tuple[NDArray[np.uint64], Mask]],
        name: Callable[[int], str] = str,
        *,
        is_name: bool = False,
    ) -> None:
        self._read = read
        self._name = name
        self._is_name = is_name
        self._vocabulary = Vocabulary()

    def codes(self, found: Found, end: End) -> Codes:
        """See `Property`."""
        numbers, has = self._read(found.rows, end)
        # 0 is for none, so all others move up by one.
        return self._vocabulary.codes(np.where(has, numbers + np.uint64(1), np.uint64(0)))

    def values(self, code: int) -> Values:
        """See `Property`."""
        key = self._vocabulary.keys[code]
        return (self._name(key - 1),) if key else ()

    def number(self, code: int) -> int | None:
        """See `Property`."""
        key = self._vocabulary.keys[code]
        return key - 1 if self._is_name and key else None


class AddressProperty:
    """Addresses of an end."""

    many = False

    def __init__(self) -> None:
        self._addresses = AddressVocabulary()

    def codes(self, found: Found, end: End) -> Codes:
        """See `Property`."""
        codes = self._addresses.codes(found.rows[f"{end}_hi"], found.rows[f"{end}_lo"])
        return np.where(has_address(found.rows, end), codes + 1, 0)

    def values(self, code: int) -> Values:
        """See `Property`."""
        return (format_address(*self._addresses.address(code - 1)),) if code else ()

    def number(self, code: int) -> int | None:  # noqa: ARG002 - see `Property`
        """See `Property`."""
        return None


class NumberedValues:
    """Numbers values in the order in which they come.

    Args:
        many: whether a flow may have several.
    """

    def __init__(self, *, many: bool = False) -> None:
        self.many = many
        self._values: list[Values] = []
        self._code_of_values: dict[Values, int] = {}

    def code_of(self, values: Values) -> int:
        """The number of values, which is made if they are new."""
        cut = tuple(value[:VALUE_CHARACTERS_MAX] for value in values)
        code = self._code_of_values.get(cut)
        if code is None:
            code = self._code_of_values[cut] = len(self._values)
            self._values.append(cut)
        return code

    def values(self, code: int) -> Values:
        """See `Property`."""
        return self._values[code]

    def number(self, code: int) -> int | None:  # noqa: ARG002 - see `Property`
        """See `Property`."""
        return None


class NamedProperty(NumberedValues, ABC):
    """Values that other tables have under what stands in the row.

    Different rows of such a table may have the same values, as two containers of one pod have the
    same labels, so values are numbered too.

    Args:
        surroundings: the tables. What a key stood for is asked anew when they gave it another
            meaning.
        many: whether a flow may have several.
    """

    def __init__(self, surroundings: Surroundings, *, many: bool = False) -> None:
        super().__init__(many=many)
        self.surroundings = surroundings
        self._generation = surroundings.generation
        self._keys = Vocabulary()
        self._code_of_key = np.zeros(0, np.int64)

    @abstractmethod
    def read(self, found: Found, end: End) -> NDArray[np.uint64]:
        """A key for each row, shape (n,), that tells what `resolve` needs."""

    @abstractmethod
    def resolve(self, key: int) -> Values:
        """The values that a key stands for now."""

    def codes(self, found: Found, end: End) -> Codes:
        """See `Property`."""
        if self._generation != self.surroundings.generation:
            self._generation = self.surroundings.generation
            self._keys, self._code_of_key = Vocabulary(), np.zeros(0, np.int64)
        codes = self._keys.codes(self.read(found, end))
        fresh = self._keys.keys[len(self._code_of_key) :]
        if fresh:
            resolved = [self.code_of(self.resolve(key)) for key in fresh]
            self._code_of_key = np.append(self._code_of_key, np.array(resolved, np.int64))
        return self._code_of_key[codes]


class TableProperty(NamedProperty):
    """Values of the row of another table that a row refers to.

    Args:
        surroundings: tells when rows of tables get another meaning.
        read: gives a key for each row, shape (n,), dtype uint64.
        values_of: asked once for each key.
        many: whether a flow may have several.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        read: Callable[[Rows, End], NDArray[np.uint64]],
        values_of: Callable[[int], Values],
        *,
        many: bool = False,
    ) -> None:
        super().__init__(surroundings, many=many)
        self._read = read
        self._values_of = values_of

    def read(self, found: Found, end: End) -> NDArray[np.uint64]:
        """The key."""
        return self._read(found.rows, end)

    def resolve(self, key: int) -> Values:
        """What the other table has under it."""
        return self._values_of(key)


class AddressNameProperty(NamedProperty):
    """Names of an end's address: which ones depends on a second number of the row.

    Args:
        surroundings: has the names.
        second: gives that number, shape (n,).
        values_of: asked once for each pair of an address and a second number.
        many: whether there may be several.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        second: Callable[[Rows, End], NDArray[np.int64]],
        values_of: Callable[[tuple[int, int], int], Values],
        *,
        many: bool = False,
    ) -> None:
        super().__init__(surroundings, many=many)
        self._second = second
        self._values_of = values_of
        self._addresses = AddressVocabulary()

    def read(self, found: Found, end: End) -> NDArray[np.uint64]:
        """The address and the second number; 0 without an address."""
        rows = found.rows
        addresses = self._addresses.codes(rows[f"{end}_hi"], rows[f"{end}_lo"])
        keys = pair_keys(addresses + 1, self._second(rows, end))
        return np.where(has_address(rows, end), keys, np.uint64(0))

    def resolve(self, key: int) -> Values:
        """The names."""
        if not key:
            return ()
        address, second = split_pair(key)
        return self._values_of(self._addresses.address(address - 1), second)


class RecordProperty(NumberedValues):
    """Values from the messages of rows: a few microseconds for each that is read.

    Args:
        record_of: gives a row's message.
        has_record: which rows have a message worth reading, shape (n,).
        value_of: what it says; empty for nothing.
        otherwise: the value of all other rows.
    """

    def __init__(
        self,
        record_of: RecordOf,
        has_record: Callable[[Rows], Mask],
        value_of: Callable[[flow_pb2.Flow], str],
        otherwise: Callable[[], str] = str,
    ) -> None:
        super().__init__()
        self._record_of = record_of
        self._has_record = has_record
        self._value_of = value_of
        self._otherwise = otherwise

    def codes(self, found: Found, end: End) -> Codes:  # noqa: ARG002 - see `Property`
        """See `Property`."""
        other = self._otherwise()
        codes = np.full(len(found.rows), self.code_of((other,) if other else ()), np.int64)
        for index in self._has_record(found.rows).nonzero()[0].tolist():
            record = self._record_of(int(found.sequences[index]))
            value = "" if record is None else self._value_of(record)
            codes[index] = self.code_of((value,) if value else ())
        return codes


def has_address(rows: Rows, end: End) -> Mask:
    """Which rows have an address at an end, shape (n,).

    Of a socket call, the pod that made it may not be known: its address is zero then.
    """
    has: Mask = rows["flags"] & np.uint8(Flag.IP) != 0
    known: Mask = rows["event_type"] != _SOCKET_EVENT
    known |= (rows[f"{end}_hi"] | rows[f"{end}_lo"]) != 0
    return has & known


def has_ports(rows: Rows) -> Mask:
    """Which rows have ports, shape (n,)."""
    has: Mask = rows["flags"] & np.uint8(Flag.L4) != 0
    has &= _HAS_PORTS[rows["protocol"]]
    return has
