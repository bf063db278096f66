from __future__ import annotations

import numpy as np

from palomar_bpf.payload import EXTENSION
from palomar_server.decode.extension import fill_drop_extension, fill_extension
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import DropSite, Interface, Surroundings
from palomar_server.testing import flow_rows


def surroundings() -> Surroundings:
    known = Surroundings(EndpointTable())
    known.apply({"boot_offset_ns": -7, "reasons": {"2": "NO_SOCKET"}, "links": {"3": "eth0"}})
    return known


def test_the_block_tells_time_process_and_traffic() -> None:
    block = np.zeros(2, EXTENSION)
    block["time_ns"], block["tgid"], block["netns"] = [10, 20], [1, 2], [3, 4]
    block["packets"], block["bytes"] = [0, 9], [0, 5000]
    rows = flow_rows(2, length_bytes=60)
    fill_extension(block, rows, surroundings())
    assert rows["time_ns"].tolist() == [3, 13]
    assert (rows["tgid"].tolist(), rows["netns"].tolist()) == ([1, 2], [3, 4])
    assert (rows["packets"].tolist(), rows["bytes"].tolist()) == ([1, 9], [60, 5000])


def test_drops_tell_where_and_on_which_interface() -> None:
    block = np.zeros(3, EXTENSION)
    block["drop_reason"] = 2
    block["interface"] = [b"veth0", b"", b"veth0\0old"]
    rows = flow_rows(3, event_subtype=[255, 133, 255], drop_reason=133)
    known = surroundings()
    fill_drop_extension(block, np.array([3, 3, 4], np.uint32), rows, known)
    names = [known.interfaces.value(row) for row in rows["interface"].tolist()]
    assert names == [Interface(3, "veth0"), Interface(3, "eth0"), Interface(4, "veth0")]
    sites = [known.drop_sites.value(row) for row in rows["drop_site"].tolist()]
    assert sites == [DropSite("NO_SOCKET", ""), DropSite("", ""), DropSite("NO_SOCKET", "")]
    assert rows["drop_reason"].tolist()[1] == 133
    assert rows["drop_reason"].tolist()[0] > 1000
