"""What heads tell, held against one message after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.packet_batch import pack_rules
from palomar_recorder.packets import LINKTYPE_ETHERNET, LINKTYPE_RAW, Interface
from palomar_server.recording.packet_heads import HeadReader, PacketHeads
from palomar_server.recording.testing import dropped, recorded
from palomar_server.testing import START_NS, drop_payload, packet, trace_payload

LINKS = {1: "lo", 7: "eth0", 70_000: "far"}
OFFSET_NS = -1_000_000


def read(*payloads: bytes, links: dict[int, str] | None = None) -> PacketHeads:
    reader = HeadReader(lambda: LINKS if links is None else links, lambda: OFFSET_NS)
    return read_with(reader, *payloads)


def read_with(reader: HeadReader, *payloads: bytes) -> PacketHeads:
    rules = pack_rules([[index % 256] for index in range(len(payloads))])
    return reader.read(PayloadBatch.of(payloads, received_ns=0), rules)


def interfaces(heads: PacketHeads) -> list[Interface]:
    return [heads.interface_table[index] for index in heads.interfaces.tolist()]


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, tuple[object, ...] | None]:
    """A message, and what its head tells; nothing for those that are none of ours."""
    content = draw(st.binary(max_size=40))
    time_ns = START_NS + draw(st.integers(0, 5))
    ifindex = draw(st.sampled_from([0, 1, 7, 9, 70_000]))
    original = len(content) + draw(st.integers(0, 100))
    padding = bytes(draw(st.integers(0, 7)))
    flags = draw(st.sampled_from([0, 1, 2, 3]))
    linktype = LINKTYPE_RAW if flags & 2 else LINKTYPE_ETHERNET
    name = LINKS.get(ifindex, "")
    extension: dict[str, int | bytes] = {"time_ns": time_ns}
    kind = draw(st.sampled_from(["trace", "drop", "foreign", "cut", "other"]))
    if kind == "trace":
        payload = trace_payload(
            content, ifindex=ifindex, extension=extension, flags=flags, len_orig=original
        )
    elif kind == "drop":
        device = draw(st.sampled_from([b"", b"eth0", b"veth\0old"]))
        name = device.split(b"\0")[0].decode() or name
        extension["interface"] = device
        payload = drop_payload(
            content, ifindex=ifindex, extension=extension, flags=flags, len_orig=original
        )
    elif kind == "foreign":
        return trace_payload(content, ifindex=ifindex) + padding, None
    elif kind == "cut":
        whole = dropped(b"")
        return whole[: draw(st.integers(0, len(whole) - 1))], None
    else:
        return b"\x81" + content, None
    told = (time_ns + OFFSET_NS, content, original, Interface(name, linktype))
    return payload + padding, told


@given(st.lists(messages(), max_size=30))
def test_heads_say_what_messages_say(made: list[tuple[bytes, tuple[object, ...] | None]]) -> None:
    heads = read(*(payload for payload, _ in made))
    expected = [(told, index) for index, (_, told) in enumerate(made) if told is not None]
    expected.sort(key=lambda one: one[0][0])  # type: ignore[arg-type, return-value]
    assert heads.passed_over == len(made) - len(expected)
    found = [
        (time_ns, heads.buffer[start : start + captured].tobytes(), original, interface)
        for time_ns, start, captured, original, interface in zip(
            heads.times_ns.tolist(),
            heads.starts.tolist(),
            heads.captured_bytes.tolist(),
            heads.original_bytes.tolist(),
            interfaces(heads),
            strict=True,
        )
    ]
    assert found == [told for told, _ in expected]
    assert heads.rules.tolist() == pack_rules([[index] for _, index in expected]).tolist()
    columns = (heads.captured_bytes, heads.original_bytes, heads.times_ns, heads.starts)
    assert all(column.dtype == np.int64 for column in columns)
    assert heads.interfaces.dtype == np.uint32


def test_an_interface_keeps_its_place_in_the_table() -> None:
    reader = HeadReader(lambda: LINKS, lambda: 0)
    first = read_with(reader, recorded(packet(), ifindex=7), recorded(packet(), ifindex=1))
    second = read_with(reader, recorded(packet(), ifindex=1), recorded(packet(), ifindex=9))
    assert second.interface_table[: len(first.interface_table)] == first.interface_table
    assert [one.name for one in interfaces(second)] == ["lo", ""]


def test_a_link_that_got_another_name_has_it_once_names_are_forgotten() -> None:
    links = {7: "eth0"}
    reader = HeadReader(lambda: links, lambda: 0)
    payload = recorded(packet(), ifindex=7)
    assert interfaces(read_with(reader, payload)) == [Interface("eth0", LINKTYPE_ETHERNET)]
    links[7] = "wan"
    reader.forget()
    assert interfaces(read_with(reader, payload)) == [Interface("wan", LINKTYPE_ETHERNET)]


def test_a_flood_of_interfaces_is_bounded() -> None:
    reader = HeadReader(dict, lambda: 0)
    for start in range(0, 10_000, 1_000):
        heads = read_with(
            reader, *(dropped(b"", interface=f"v{start + index}") for index in range(1_000))
        )
        assert len(heads.interface_table) <= 4_096 + 1_001
    assert [one.name for one in interfaces(heads)][-1] == "v9999"
