from __future__ import annotations

import pytest

from palomar_server.policies import Policies, PolicyEntry, PolicyKey

KEY = PolicyKey(egress=False, identity=300, protocol=6, port=80)


def entry(revision: int) -> PolicyEntry:
    return PolicyEntry((("k8s:a=b",),), revision, ())


@pytest.mark.parametrize(
    ("match_type", "key"),
    [
        (0, KEY),
        (1, KEY._replace(protocol=0, port=0)),
        (2, KEY),
        (3, KEY._replace(identity=0)),
        (4, KEY._replace(identity=0, protocol=0, port=0)),
        (5, KEY._replace(port=0)),
        (6, KEY._replace(identity=0, port=0)),
        (7, KEY),
    ],
)
def test_the_match_type_says_what_the_rule_was_about(match_type: int, key: PolicyKey) -> None:
    policies = Policies()
    policies.put(7, {key: entry(1)})
    assert policies.entry(7, KEY, match_type) == entry(1)
    assert policies.entry(8, KEY, match_type) is None
    assert policies.entry(7, KEY._replace(egress=True), match_type) is None


def test_a_policy_is_replaced_as_a_whole() -> None:
    policies = Policies()
    policies.put(7, {KEY: entry(1)})
    policies.put(7, {KEY._replace(port=81): entry(2)})
    assert policies.entry(7, KEY, 2) is None
    policies.put(7, None)
    assert policies.entry(7, KEY._replace(port=81), 2) is None
    assert policies.generation == 3


def test_entries_of_an_endpoint_are_bounded() -> None:
    policies = Policies(entries_max=2)
    policies.put(7, {KEY._replace(port=port): entry(1) for port in range(5)})
    assert policies.refused == 3
    assert policies.entry(7, KEY._replace(port=1), 2) is not None
    assert policies.entry(7, KEY._replace(port=2), 2) is None
