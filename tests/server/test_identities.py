from __future__ import annotations

import pytest

from palomar_server.identities import Identities, cluster_of, shown_labels

LOCAL = 1 << 24


def test_reserved_identities_are_known_and_can_be_told_anew() -> None:
    identities = Identities()
    assert identities.labels(2) == ("reserved:world",)
    assert identities.labels(7) == ("reserved:kube-apiserver", "reserved:remote-node")
    assert identities.labels(0) is identities.labels(1234) is None
    identities.put(1, ("k8s:node=x", "reserved:host"))
    assert identities.labels(1) == ("k8s:node=x", "reserved:host")
    identities.put(1, None)
    assert identities.labels(1) == ("reserved:host",)


def test_identities_are_bounded_and_tell_when_they_change() -> None:
    identities = Identities(entries_max=1)
    identities.put(300, ("k8s:a=b",))
    identities.put(301, ("k8s:a=c",))
    assert (identities.refused, identities.generation) == (1, 1)
    assert identities.labels(301) is None


@pytest.mark.parametrize(
    ("labels", "identity", "shown"),
    [
        (["k8s:b=1", "k8s:a=1"], 300, ["k8s:a=1", "k8s:b=1"]),
        (
            ["reserved:world", "cidr:0.0.0.0/0", "cidr:192.0.2.0/24", "cidr:192.0.0.0/16"],
            LOCAL | 1,
            ["cidr:192.0.2.0/24", "reserved:world"],
        ),
        (
            ["cidr:2001-db8--0/32", "cidr:--0/0", "reserved:world-ipv6"],
            LOCAL | 2,
            ["cidr:2001-db8--0/32", "reserved:world-ipv6"],
        ),
        (["cidr:nonsense", "cidr:1.0.0.0/8"], LOCAL, ["cidr:1.0.0.0/8"]),
        (["cidr:nonsense", "cidr:192.0.2.1"], LOCAL, []),
        # All addresses are no prefix worth showing.
        (["cidr:0.0.0.0/0", "reserved:world"], LOCAL, ["reserved:world"]),
        # Identities of the cluster keep what they have.
        (["cidr:192.0.2.0/24", "cidr:0.0.0.0/0"], 300, ["cidr:0.0.0.0/0", "cidr:192.0.2.0/24"]),
        (["cidr:0.0.0.0/0", "cidr:1.0.0.0/8"], 2 << 24, ["cidr:0.0.0.0/0", "cidr:1.0.0.0/8"]),
    ],
)
def test_labels_are_shown_sorted_and_of_cidrs_the_narrowest(
    labels: list[str], identity: int, shown: list[str]
) -> None:
    assert shown_labels(labels, identity) == shown


def test_labels_name_the_cluster() -> None:
    assert cluster_of(["k8s:app=x", "k8s:io.cilium.k8s.policy.cluster=west"]) == "west"
    assert cluster_of(["k8s:app=x", "k8s:io.cilium.k8s.policy.clusters=west"]) == ""
    assert cluster_of([]) == ""
