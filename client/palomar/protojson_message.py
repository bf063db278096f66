"""Messages of one type as JSON, from their bytes in the protobuf wire format.

In: the bytes of a message that this process serialized. Out: a JSON object. Most fields of a stream
repeat byte by byte from flow to flow (endpoints, labels, interfaces, enums), so their text is
looked up by their bytes; only what is new is decoded. What is remembered is bounded. Used by
`palomar.protojson`.
"""

from collections.abc import Callable, Iterator

from google.protobuf.descriptor import FieldDescriptor

from palomar.protojson_scalars import FIXED_BYTES, WIRE_KINDS, Reader, raw_value, varint

Encoder = Callable[[bytes], str]
Member = Callable[[bytes, int], str]
"""Takes a field with its tag, and where the tag ends."""

_REMEMBERED_MAX = 2048
"""Fields kept per message type, after which they are forgotten: about 3 MiB of endpoints."""
_REMEMBERED_BYTES_MAX = 2048
"""Longer ones are not kept."""

# The wire format: https://protobuf.dev/programming-guides/encoding/
_VARINT, _BYTES, _GROUP_END = 0, 2, 4
_KIND = 7
"""The bits of a tag that say how its field is written."""
_MORE = 0x7F
"""A byte above says that the number goes on in the next one."""

_SHORT_TAG, _UNIQUE, _NUMBER, _ANY, _REPEATED, _LONG_TAG, _UNIQUE_LONG_TAG = range(7)
"""Shapes of fields that are quick to cut: a tag of one byte, or of more, and bytes or a number."""

# Parts that are new in nearly every flow; to remember them would only push out the others.
_UNIQUE_TYPES = frozenset(
    {
        "flow.Ethernet",
        "flow.Flow",
        "flow.IP",
        "flow.Layer4",
        "flow.Layer7",
        "flow.TCP",
        "flow.UDP",
        "flow.TraceContext",
        "google.protobuf.Timestamp",
    }
)
_UNIQUE_FIELDS = frozenset({"flow.Flow.uuid"})

# What a flow tells beside its ends, times and ports repeats as a whole: types, directions, the
# interface, the node. By message type: after which tags (first bytes) such a span begins, and the
# tag that ends it, if not the end of the message.
_SPANS: dict[str, tuple[tuple[int, ...], bytes]] = {
    "flow.Flow": ((0x4A, 0x92), b"\x92\x02"),  # from destination to uuid, and from there on
}


class FieldTexts(dict[bytes, str]):
    """The fields of a message type, tag and value, and their texts: `"name":value`."""

    def __init__(self, type_name: str) -> None:
        self.spans: dict[bytes, str] = {}
        """Several fields that follow each other, and their texts."""
        self.span_starts, self.span_mark = _SPANS.get(type_name, ((), b""))
        self.shapes = [_ANY] * 256
        """How a field is written, by the first byte of its tag."""
        self.unique: dict[int, tuple[str, Reader]] = {}
        """Key and reader of the fields of shape `_UNIQUE`."""
        self.unique_long: dict[int, tuple[int, str, Reader]] = {}
        """The same of shape `_UNIQUE_LONG_TAG`, with the second byte of the tag."""
        self._members: dict[int, Member] = {}

    def add(self, field: FieldDescriptor, read: Reader) -> None:
        """Learn how to encode a field of the type.

        Args:
            field: The field.
            read: Encodes its value, or each of them.
        """
        for tag, member in _members(field, read):
            self._members[tag] = member
            first = tag if tag <= _MORE else tag & _MORE | _MORE + 1
            shape = self.shapes[first] = _shape(field, tag, self.shapes[first])
            if shape == _UNIQUE_LONG_TAG and _is_unique(field):
                self.unique_long[first] = tag >> 7, f'"{field.name}":', read
            if shape == _UNIQUE:
                self.unique[first] = f'"{field.name}":', read

    def encode(self, piece: bytes) -> str:
        """Encode a field; empty if it is none of the type."""
        tag, start = (piece[0], 1) if piece[0] <= _MORE else varint(piece, 0)
        member = self._members.get(tag)
        return member(piece, start) if member else ""  # else of a server newer than we

    def __missing__(self, piece: bytes) -> str:
        text = self.encode(piece)
        if len(piece) <= _REMEMBERED_BYTES_MAX:
            if len(self) >= _REMEMBERED_MAX:
                self.clear()
            self[piece] = text
        return text

    def remember_span(self, span: bytes, text: str) -> None:
        """Keep the text of several fields."""
        if len(span) <= _REMEMBERED_BYTES_MAX:
            if len(self.spans) >= _REMEMBERED_MAX:
                self.spans.clear()
            self.spans[span] = text


def message_encoder(fields: FieldTexts) -> Encoder:  # noqa: C901, PLR0915 - holds the loop
    """Make the encoder of a message type.

    Args:
        fields: Its fields, which may be added later.
    """
    shapes, encode_field = fields.shapes, fields.encode
    unique, unique_long = fields.unique, fields.unique_long
    spans, starts, mark = fields.spans, fields.span_starts, fields.span_mark

    def encode(data: bytes) -> str:  # noqa: C901, PLR0912, PLR0915 - flat: every flow passes
        parts: list[str] = []
        position, end = 0, len(data)
        span = span_end = span_parts = 0
        while position < end:
            start = position
            first = data[position]
            shape = shapes[first]
            if shape <= _UNIQUE:
                size = data[position + 1]
                position += 2
                if size > _MORE:
                    if data[position] <= _MORE:
                        size += (data[position] << 7) - (_MORE + 1)
                        position += 1
                    else:
                        size, position = varint(data, position - 1)
                value = position
                position += size
                if shape == _UNIQUE:
                    key, read = unique[first]
                    parts.append(key + read(data[value:position]))
                    span_end = 0  # what holds something unique is not worth remembering
                    continue
                text = fields[data[start:position]]
            elif shape == _NUMBER:
                position += 1
                while data[position] > _MORE:
                    position += 1
                position += 1
                text = fields[data[start:position]]
            elif shape >= _LONG_TAG and data[position + 1] <= _MORE >= data[position + 2]:
                value = position + 3
                position = value + data[position + 2]
                if shape == _LONG_TAG:
                    text = fields[data[start:position]]
                else:
                    second, key, read = unique_long[first]
                    known = data[start + 1] == second
                    piece = data[value if known else start : position]
                    text = key + read(piece) if known else encode_field(piece)
            else:
                position = _end_of_run(data, position)
                text = fields[data[start:position]]
            if text:
                parts.append(text)
            if position == span_end:
                fields.remember_span(data[span:position], ",".join(parts[span_parts:]))
            if first in starts and position < end:
                # Fields tell their own length. So bytes that were whole fields once are whole
                # fields again, wherever the mark was found.
                found = data.find(mark, position)
                span, span_end = position, found if found >= 0 else end
                if text := spans.get(data[span:span_end], ""):
                    parts.append(text)
                    position = span_end
                span_parts = len(parts)
        return f"{{{','.join(parts)}}}"

    return encode


def _end_of_run(data: bytes, position: int) -> int:
    """Find the end of a field and of the same field's further elements, which are one piece."""
    tag, _ = other, position = varint(data, position)
    while other == tag:
        position = _end_of(tag & _KIND, data, position)
        if position >= len(data):
            break
        end = position
        other, position = varint(data, position)
        if other != tag:
            return end
    return position


def _end_of(kind: int, data: bytes, position: int) -> int:
    """Find the end of a field from behind its tag."""
    if kind == _BYTES:
        size, position = varint(data, position)
        return position + size
    if kind == _VARINT:
        while data[position] > _MORE:
            position += 1
        return position + 1
    if kind in FIXED_BYTES:
        return position + FIXED_BYTES[kind]
    tag, position = varint(data, position)  # a group, which only a field we do not know can be
    while tag & _KIND != _GROUP_END:
        position = _end_of(tag & _KIND, data, position)
        tag, position = varint(data, position)
    return position


def _shape(field: FieldDescriptor, tag: int, others: int) -> int:
    """Say how a field is written.

    Args:
        field: The field.
        tag: Its tag.
        others: The shape of fields whose tags begin with the same byte.
    """
    kind = tag & _KIND
    if field.is_repeated or others == _REPEATED:
        return _REPEATED
    if tag <= _MORE:
        if kind == _BYTES:
            return _UNIQUE if _is_unique(field) else _SHORT_TAG
        return _NUMBER if kind == _VARINT else _ANY
    if kind != _BYTES:
        return _ANY
    return _UNIQUE_LONG_TAG if others == _UNIQUE_LONG_TAG or _is_unique(field) else _LONG_TAG


def _is_unique(field: FieldDescriptor) -> bool:
    if field.message_type is not None:
        return field.message_type.full_name in _UNIQUE_TYPES
    return field.full_name in _UNIQUE_FIELDS


def _members(field: FieldDescriptor, read: Reader) -> Iterator[tuple[int, Member]]:
    """Yield the tags a field may have, and how to encode what follows the tag."""
    kind = WIRE_KINDS.get(field.type, _VARINT)
    key = f'"{field.name}":'
    if not field.is_repeated:
        yield field.number << 3 | kind, _singular(key, kind, read)
        return
    yield field.number << 3 | kind, _repeated(key, kind, read)
    if kind != _BYTES:
        yield field.number << 3 | _BYTES, _packed(key, kind, read)


def _singular(key: str, kind: int, read: Reader) -> Member:
    if kind != _BYTES:
        return lambda piece, start: key + read(raw_value(kind, piece, start)[0])

    def member(piece: bytes, start: int) -> str:
        start = start + 1 if piece[start] <= _MORE else varint(piece, start)[1]
        return key + read(piece[start:])

    return member


def _repeated(key: str, kind: int, read: Reader) -> Member:
    def member(piece: bytes, start: int) -> str:
        texts = []
        tag_bytes, position = start, 0
        while position < len(piece):
            value, position = raw_value(kind, piece, position + tag_bytes)
            texts.append(read(value))
        return f"{key}[{','.join(texts)}]"

    return member


def _packed(key: str, kind: int, read: Reader) -> Member:
    def member(piece: bytes, start: int) -> str:
        texts = []
        _, position = varint(piece, start)
        while position < len(piece):
            value, position = raw_value(kind, piece, position)
            texts.append(read(value))
        return f"{key}[{','.join(texts)}]"

    return member
