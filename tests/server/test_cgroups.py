from __future__ import annotations

import numpy as np

from palomar_server.address import parse_address
from palomar_server.cgroups import Cgroups

IPV4, OTHER_IPV4, IPV6 = map(parse_address, ("10.0.0.1", "10.0.0.2", "fd00::1"))


def found(cgroups: Cgroups, *queries: tuple[int, bool]) -> list[tuple[int, int]]:
    hi, lo = cgroups.addresses(
        np.array([cgroup for cgroup, _ in queries], np.uint64),
        np.array([is_ipv6 for _, is_ipv6 in queries], np.bool_),
    )
    return list(zip(hi.tolist(), lo.tolist(), strict=True))


def test_a_cgroup_has_the_first_address_of_the_family_of_its_pod() -> None:
    cgroups = Cgroups()
    cgroups.put(5, [IPV6, IPV4, OTHER_IPV4])
    cgroups.put(1 << 63, [OTHER_IPV4])
    queries = [(1 << 63, False), (5, True), (5, False), (1 << 63, True), (6, False)]
    assert found(cgroups, *queries) == [OTHER_IPV4, IPV6, IPV4, (0, 0), (0, 0)]


def test_a_cgroup_that_went_is_nobodys() -> None:
    cgroups = Cgroups()
    cgroups.put(5, [IPV4])
    cgroups.put(5, None)
    assert found(cgroups, (5, False)) == [(0, 0)]


def test_cgroups_are_bounded() -> None:
    cgroups = Cgroups(entries_max=1)
    cgroups.put(5, [IPV4])
    cgroups.put(6, [IPV4])
    assert cgroups.refused == 1
    assert found(cgroups, (6, False)) == [(0, 0)]
