from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.decode.malformed import Malformed
from palomar_server.table import Flag
from palomar_server.testing import packet
from tests.server.decode.builders import FRAME, V4, V6, of_packet, policy_verdict
from tests.server.decode.builders import one as one_of

FRAMED = Flag.ETHERNET | Flag.PACKET


@pytest.mark.parametrize("mixed", [False, True])
def test_both_addresses_are_kept(*, mixed: bool) -> None:
    row = of_packet(FRAME + b"\x08\x06" + bytes(28), *([packet(*V4)] if mixed else []))
    assert bytes(row["destination_mac"]) == FRAME[:6]
    assert bytes(row["source_mac"]) == FRAME[6:]
    assert row["flags"] == FRAMED


@pytest.mark.parametrize("beside", [None, packet(*V4), b""])
def test_a_frame_cut_anywhere_is_malformed(beside: bytes | None) -> None:
    others = () if beside is None else (beside,)
    for length in range(1, 14):
        assert of_packet(FRAME.ljust(14, b"\0")[:length], *others) is Malformed.ETHERNET_TOO_SHORT
    assert of_packet(FRAME + b"\x08\x00", *others)["flags"] == FRAMED
    assert of_packet(b"", *others)["flags"] == 0


@pytest.mark.parametrize("ethertype", [0, 0x0026, 0x05DD, 0x0600, 0x0806, 0x8100, 0x8847, 0x88A8])
def test_what_is_not_ip_ends_at_the_link_layer(ethertype: int) -> None:
    row = of_packet(FRAME + ethertype.to_bytes(2, "big") + packet(*V4)[14:])
    assert (row["flags"], row["ip_version"]) == (FRAMED, flow_pb2.IP_NOT_USED)


@pytest.mark.parametrize(("ends", "flags"), [(V4, 0x80), (V6, 0x84)])
def test_without_a_link_layer_the_flags_tell_the_family(ends: tuple[str, str], flags: int) -> None:
    content = packet(*ends, ethernet=False)
    row = one_of(policy_verdict(content, flags=flags), policy_verdict(packet(*V4)))
    assert row["flags"] == Flag.PACKET | Flag.IP | Flag.L4
    assert not row["source_mac"].any()
    wrong = one_of(policy_verdict(content, flags=flags ^ 4))
    assert isinstance(wrong, Malformed)
    assert one_of(policy_verdict(b"", flags=flags))["flags"] == 0
