from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.pod_name import NamePrefix
from palomar_server.filters.name_prefixes import NamePrefixes

PARTS = st.sampled_from(("", "a", "ab", "b", "shop"))


@given(st.lists(st.builds(NamePrefix, PARTS, PARTS)), PARTS, PARTS)
def test_all_patterns_at_once_match_as_one_of_them_does(
    patterns: list[NamePrefix], namespace: str, name: str
) -> None:
    one_by_one = any(pattern.matches(namespace, name) for pattern in patterns)
    assert NamePrefixes(patterns).match(namespace, name) == one_by_one
