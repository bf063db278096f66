from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from palomar_bpf.payload import (
    DROP_HEAD,
    DROP_HEAD_V3,
    EXT_VERSION,
    EXTENSION,
    HEAD,
    TRACE_HEAD,
    TRACE_HEAD_V2,
    MessageType,
    ObservationPoint,
    TraceReason,
)
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2
from palomar_server.address import parse_address
from palomar_server.decode.decoder import Decoded, Decoder
from palomar_server.decode.layouts import LAYOUTS, Layout
from palomar_server.decode.malformed import Malformed
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import DropSite, Interface, Surroundings
from palomar_server.table import Flag
from palomar_server.testing import START_NS, batch_of, drop_payload, packet, trace_payload
from tests.server.decode.builders import capture, message, policy_verdict, trace_sock

CONTENT = packet()
CONTEXT = {
    "boot_offset_ns": 1_000,
    "reasons": {"2": "NETFILTER_DROP"},
    "symbols": {"4096": "nft_do_chain", "8192": "tcp_v4_rcv"},
    "links": {"3": "eth0"},
}


@pytest.fixture
def surroundings() -> Surroundings:
    surroundings = Surroundings(EndpointTable())
    surroundings.apply(CONTEXT)
    return surroundings


def decode(surroundings: Surroundings, *payloads: bytes) -> Decoded:
    return Decoder(surroundings).decode(batch_of(payloads))


def one(surroundings: Surroundings, payload: bytes) -> Any:
    decoded = decode(surroundings, payload)
    assert decoded.malformed == Counter()
    [row] = decoded.rows
    return row


def of_layout(layout: Layout, content: bytes = b"") -> bytes:
    """A payload of this layout with a packet behind its head."""
    head = np.zeros(1, layout.dtype)
    head["type"] = layout.kind
    if layout.version is not None:
        head["version"] = layout.version
        head["ext_version"] = EXT_VERSION if layout.ours else 0
        head["len_cap"] = head["len_orig"] = len(content)
    return head.tobytes() + content


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one.kind != MessageType.TRACE_SOCK])
def test_every_layout_is_decoded_up_to_its_packet(
    surroundings: Surroundings, layout: Layout
) -> None:
    head_only = one(surroundings, of_layout(layout))
    assert (head_only["event_type"], head_only["flags"]) == (layout.kind, 0)
    whole = one(surroundings, of_layout(layout, CONTENT))
    assert whole["flags"] == Flag.ETHERNET | Flag.IP | Flag.L4 | Flag.PACKET
    assert (whole["source_port"], whole["destination_port"]) == (40_000, 80)


@pytest.mark.parametrize(
    ("kind", "version", "ext_version", "reason"),
    [
        (MessageType.TRACE, 3, 0, Malformed.UNKNOWN_VERSION),
        (MessageType.DROP, 4, 0, Malformed.UNKNOWN_VERSION),
        (MessageType.DROP, 255, EXT_VERSION, Malformed.UNKNOWN_VERSION),
        (6, 0, 0, Malformed.UNKNOWN_TYPE),
        (0, 0, 0, Malformed.UNKNOWN_TYPE),
    ],
)
def test_unknown_types_and_versions_are_told_apart(
    surroundings: Surroundings, kind: int, version: int, ext_version: int, reason: Malformed
) -> None:
    payload = bytes([kind]) + bytes(13) + bytes([version, ext_version]) + CONTENT
    decoded = decode(surroundings, payload, trace_payload(CONTENT), payload)
    assert decoded.malformed == {(kind, reason): 2}
    assert len(decoded.rows) == 1


def test_every_unknown_key_of_a_damaged_batch_is_counted(surroundings: Surroundings) -> None:
    payloads = [
        bytes([kind]) + bytes(13) + bytes([version, 9]) + CONTENT
        for kind in (MessageType.DROP, MessageType.TRACE, 8, 255)
        for version in range(16, 256, 16)
    ]
    decoded = decode(surroundings, trace_payload(CONTENT), *payloads, drop_payload(CONTENT))
    assert len(decoded.rows) == 2
    assert decoded.malformed.total() == len(payloads)
    assert decoded.malformed[MessageType.DROP, Malformed.UNKNOWN_VERSION] == 15
    assert decoded.malformed[255, Malformed.UNKNOWN_TYPE] == 15


def test_the_common_head_fills_its_columns(surroundings: Surroundings) -> None:
    payload = trace_payload(
        CONTENT, source=7, src_label=11, dst_label=12, ifindex=3, len_orig=1500, reason=0x80
    )
    row = one(surroundings, payload)
    assert (row["local_endpoint_id"], row["length_bytes"], row["bytes"]) == (7, 1500, 1500)
    assert (row["source_identity"], row["destination_identity"]) == (11, 12)
    assert (row["packets"], row["time_ns"], row["tgid"], row["netns"]) == (1, START_NS, 0, 0)
    assert row["flags"] & Flag.ENCRYPTED
    assert surroundings.interfaces.value(row["interface"]) == Interface(3, "eth0")


@pytest.mark.parametrize(
    ("reason", "trace_reason", "is_reply"),
    [
        (TraceReason.NEW, flow_pb2.NEW, 0),
        (TraceReason.ESTABLISHED, flow_pb2.ESTABLISHED, 0),
        (TraceReason.REPLY, flow_pb2.REPLY, 1),
        (TraceReason.RELATED, flow_pb2.RELATED, 0),
        (4, flow_pb2.REOPENED, 0),
        (TraceReason.UNKNOWN, flow_pb2.TRACE_REASON_UNKNOWN, -1),
        (6, flow_pb2.SRV6_ENCAP, -1),
        (7, flow_pb2.SRV6_DECAP, -1),
        (8, flow_pb2.ENCRYPT_OVERLAY, 0),
        (9, 9, 0),
        (0x7F, 0x7F, 0),
    ],
)
def test_trace_reasons_become_those_of_the_api(
    surroundings: Surroundings, reason: int, trace_reason: int, is_reply: int
) -> None:
    for bits in (reason, reason | 0x80):
        row = one(surroundings, trace_payload(CONTENT, reason=bits))
        assert (row["trace_reason"], row["is_reply"]) == (trace_reason, is_reply)
        assert bool(row["flags"] & Flag.ENCRYPTED) == (bits >= 0x80)


@pytest.mark.parametrize("point", ObservationPoint)
def test_observation_points_become_those_of_the_api(
    surroundings: Surroundings, point: ObservationPoint
) -> None:
    row = one(surroundings, trace_payload(CONTENT, point=point))
    assert row["verdict"] == flow_pb2.FORWARDED
    assert row["event_subtype"] == point
    name = flow_pb2.TraceObservationPoint.Name(row["observation_point"])
    assert name == point.name


def test_a_drop_of_cilium_keeps_its_reason(surroundings: Surroundings) -> None:
    row = one(surroundings, drop_payload(CONTENT, subtype=133))
    assert (row["verdict"], row["drop_reason"]) == (flow_pb2.DROPPED, 133)
    assert (row["is_reply"], row["drop_site"], row["trace_reason"]) == (-1, 0, 0)


def test_a_kernel_drop_gets_its_stable_reason_and_its_place(surroundings: Surroundings) -> None:
    decoded = decode(
        surroundings,
        *(
            drop_payload(CONTENT, extension={"drop_reason": reason, "location": location})
            for reason, location in ((2, 4096), (2, 8192), (9, 4096), (2, 4096), (0, 0))
        ),
    )
    other = 1000 + drop_reason_pb2.KERNEL_OTHER
    netfilter = 1000 + drop_reason_pb2.NETFILTER_DROP
    assert decoded.rows["drop_reason"].tolist() == [netfilter, netfilter, other, netfilter, 1000]
    sites = [surroundings.drop_sites.value(row) for row in decoded.rows["drop_site"].tolist()]
    assert sites == [
        DropSite("NETFILTER_DROP", "nft_do_chain"),
        DropSite("NETFILTER_DROP", "tcp_v4_rcv"),
        DropSite("reason 9", "nft_do_chain"),
        DropSite("NETFILTER_DROP", "nft_do_chain"),
        DropSite("", ""),
    ]


def test_only_kernel_drops_read_the_reason_of_the_extension(surroundings: Surroundings) -> None:
    extension: dict[str, int | bytes] = {"drop_reason": 2, "location": 4096}
    row = one(surroundings, drop_payload(CONTENT, subtype=133, extension=extension))
    assert (row["drop_reason"], row["drop_site"]) == (133, 0)
    row = one(surroundings, trace_payload(CONTENT, extension=extension))
    assert (row["drop_reason"], row["drop_site"]) == (0, 0)


def test_the_extension_gives_time_process_namespace_and_traffic(surroundings: Surroundings) -> None:
    extension: dict[str, int | bytes] = {
        "time_ns": 5,
        "tgid": 77,
        "netns": 4_026_531_840,
        "packets": 10,
        "bytes": 5_000,
    }
    row = one(surroundings, trace_payload(CONTENT, extension=extension))
    assert (row["time_ns"], row["tgid"], row["netns"]) == (1_005, 77, 4_026_531_840)
    assert (row["packets"], row["bytes"], row["length_bytes"]) == (10, 5_000, len(CONTENT))


def test_without_aggregation_an_event_stands_for_its_packet(surroundings: Surroundings) -> None:
    row = one(surroundings, trace_payload(CONTENT, extension={}))
    assert (row["packets"], row["bytes"]) == (1, len(CONTENT))


def test_a_negative_boot_offset_is_subtracted(surroundings: Surroundings) -> None:
    surroundings.apply({"boot_offset_ns": -100})
    row = one(surroundings, trace_payload(CONTENT, extension={"time_ns": 105}))
    assert row["time_ns"] == 5


def test_an_interface_has_the_name_that_the_event_says(surroundings: Surroundings) -> None:
    events: list[tuple[int, int, bytes]] = [
        (3, 0, b"ens3"),
        (3, 0, b"veth0"),
        (3, 5, b"ens3"),
        (4, 0, b"veth0"),
        (3, 0, b""),
        (0, 0, b"sixteen-bytes-xx"),
        (5, 0, b"\xff\xfe"),
    ]
    decoded = decode(
        surroundings,
        *(
            drop_payload(CONTENT, ifindex=ifindex, extension={"netns": netns, "interface": name})
            for ifindex, netns, name in events
        ),
    )
    found = [surroundings.interfaces.value(row) for row in decoded.rows["interface"].tolist()]
    assert found == [
        Interface(3, "ens3"),
        Interface(3, "veth0"),
        Interface(3, "ens3"),
        Interface(4, "veth0"),
        Interface(3, "eth0"),
        Interface(0, "sixteen-bytes-xx"),
        Interface(5, "��"),
    ]


def test_our_own_packets_end_at_their_captured_length(surroundings: Surroundings) -> None:
    # Ring records are padded: the padding is no packet.
    payload = trace_payload(CONTENT, extension={}, len_cap=14) + bytes(6)
    row = one(surroundings, payload)
    assert row["flags"] == Flag.ETHERNET | Flag.PACKET


def test_of_plain_messages_all_bytes_are_the_packet(surroundings: Surroundings) -> None:
    row = one(surroundings, trace_payload(CONTENT, len_cap=0))
    assert row["flags"] & Flag.L4


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_layer_3_devices_say_so_in_their_flags(surroundings: Surroundings, flags: int) -> None:
    content = packet("fd00::1", "fd00::2") if flags & 1 else packet()
    if flags & 2:
        content = content[14:]
    for payload in (drop_payload(content, flags=flags), trace_payload(content, flags=flags)):
        row = one(surroundings, payload)
        assert row["ip_version"] == (flow_pb2.IPv6 if flags & 1 else flow_pb2.IPv4)
        assert row["source_port"] == 40_000
        assert bool(row["flags"] & Flag.ETHERNET) == (not flags & 2)


def test_old_drops_have_no_flags(surroundings: Surroundings) -> None:
    head = np.zeros(1, np.dtype(DROP_HEAD.descr[:-2]))
    head["type"] = MessageType.DROP
    assert head.dtype.itemsize == 36
    row = one(surroundings, head.tobytes() + b"\x02" + packet()[1:])
    assert row["flags"] & Flag.ETHERNET


def test_heads_are_those_of_the_kernel_side() -> None:
    assert (HEAD.itemsize, TRACE_HEAD.itemsize, DROP_HEAD.itemsize) == (16, 32, 40)
    assert EXTENSION.itemsize == 72


def test_drops_tell_where_they_were_made(surroundings: Surroundings) -> None:
    row = one(surroundings, drop_payload(CONTENT, subtype=133, line=77, file=5, ext_error=-8))
    assert (row["drop_line"], row["drop_file"], row["drop_ext_error"]) == (77, 5, -8)
    # An interface is known of those of ours alone.
    assert one(surroundings, drop_payload(CONTENT, ifindex=3))["interface"] == 0


def test_versions_bring_the_trace_id_of_the_packet(surroundings: Surroundings) -> None:
    for kind, head in ((MessageType.TRACE, TRACE_HEAD_V2), (MessageType.DROP, DROP_HEAD_V3)):
        version = 2 if kind == MessageType.TRACE else 3
        payload = message(head, CONTENT, type=kind, version=version, ip_trace_id=1 << 63)
        assert one(surroundings, payload)["ip_trace_id"] == 1 << 63


def test_to_the_proxy_the_destination_is_its_port(surroundings: Surroundings) -> None:
    for point in ObservationPoint:
        row = one(surroundings, trace_payload(CONTENT, point=point, dst_id=8080))
        assert row["proxy_port"] == (8080 if point == ObservationPoint.TO_PROXY else 0)


@pytest.mark.parametrize(
    ("verdict", "flags", "expected", "is_reply", "reason"),
    [
        (0, 0, flow_pb2.FORWARDED, 0, 0),
        (0, 0x40, flow_pb2.AUDIT, 0, 0),
        (10_001, 0x40, flow_pb2.REDIRECTED, 0, 0),
        (-133, 0, flow_pb2.DROPPED, -1, 133),
        (-133, 0x40, flow_pb2.DROPPED, -1, 133),
        (-300, 0, flow_pb2.DROPPED, -1, 300),
        (-(1 << 31), 0, flow_pb2.DROPPED, -1, 1 << 31),
    ],
)
def test_policy_verdicts(
    surroundings: Surroundings, verdict: int, flags: int, expected: int, is_reply: int, reason: int
) -> None:
    row = one(surroundings, policy_verdict(CONTENT, verdict=verdict, flags=flags, auth_type=2))
    assert (row["verdict"], row["is_reply"], row["drop_reason"]) == (expected, is_reply, reason)
    assert (row["auth_type"], row["packets"]) == (2, 1)


@pytest.mark.parametrize("match_type", range(8))
@pytest.mark.parametrize("direction", range(4))
def test_a_policy_verdict_knows_the_remote_identity(
    surroundings: Surroundings, match_type: int, direction: int
) -> None:
    flags = match_type << 3 | direction
    row = one(surroundings, policy_verdict(CONTENT, remote_label=99, flags=flags))
    assert row["policy_match_type"] == match_type
    ingress = direction == 1
    assert row["direction"] == (flow_pb2.INGRESS if ingress else flow_pb2.EGRESS)
    identities = (row["source_identity"], row["destination_identity"])
    assert identities == ((99, 0) if ingress else (0, 99))


@pytest.mark.parametrize(
    ("point", "index", "port"),
    [*((point, 3, 0) for point in (4, 5, 6, 7, 10, 11)), (8, 0, 8080), (9, 0, 8080), (1, 0, 0)],
)
def test_the_argument_of_a_capture_is_what_its_point_says(
    surroundings: Surroundings, point: int, index: int, port: int
) -> None:
    argument = 3 if index else int.from_bytes((8080).to_bytes(4, "big"), "little")
    row = one(surroundings, capture(CONTENT, subtype=point, arg1=argument, len_orig=60))
    assert surroundings.interfaces.value(row["interface"]).index == index
    assert row["proxy_port"] == port
    assert (row["verdict"], row["is_reply"], row["length_bytes"]) == (0, -1, 60)


@pytest.mark.parametrize("point", range(6))
@pytest.mark.parametrize(("protocol", "number"), [(0, 0), (1, 6), (2, 17), (3, 0)])
def test_socket_translations_tell_one_end(
    surroundings: Surroundings, point: int, protocol: int, number: int
) -> None:
    payload = trace_sock(
        bytes([10, 0, 0, 9]), subtype=point, protocol=protocol, dst_port=80, cookie=5, cgroup_id=6
    )
    row = one(surroundings, payload)
    near, far = ("destination", "source") if point in (3, 4) else ("source", "destination")
    assert (row[f"{far}_hi"], row[f"{far}_lo"]) == parse_address("10.0.0.9")
    assert (row[f"{near}_hi"], row[f"{near}_lo"], row[f"{near}_port"]) == (0, 0, 0)
    assert row[f"{far}_port"] == 80
    assert (row["protocol"], bool(row["flags"] & Flag.L4)) == (number, number != 0)
    assert (row["socket_cookie"], row["cgroup_id"], row["event_subtype"]) == (5, 6, point)
    verdicts = {1: "TRACED", 2: "TRANSLATED", 3: "TRACED", 4: "TRANSLATED"}
    assert flow_pb2.Verdict.Name(row["verdict"]) == verdicts.get(point, "VERDICT_UNKNOWN")


def test_a_socket_translation_has_no_packet_behind_it(surroundings: Surroundings) -> None:
    row = one(surroundings, trace_sock(bytes([10, 0, 0, 9])) + CONTENT)
    assert row["flags"] == Flag.IP
    row = one(surroundings, trace_sock(bytes(15) + b"\1", flags=1, protocol=1) + CONTENT)
    assert (row["ip_version"], row["destination_lo"], row["destination_port"]) == (2, 1, 0)
