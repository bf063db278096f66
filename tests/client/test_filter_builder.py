from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.filter_builder import Exclusions, FilterBuilder
from palomar.filter_flags import FILTER_KEYS


def built(*flags: tuple[str, str], dialect: Dialect = Dialect.PALOMAR) -> list[dict[str, Any]]:
    builder = FilterBuilder(dialect)
    for name, text in flags:
        builder.add(FILTER_KEYS[name], text)
    return [MessageToDict(one, preserving_proto_field_name=True) for one in builder.messages()]


def test_no_flags_make_no_messages() -> None:
    assert built() == []


def test_expressions_go_where_the_message_has_them() -> None:
    assert built(("cel-expression", "true")) == [{"experimental": {"cel_expression": ["true"]}}]


@pytest.mark.parametrize(
    ("flags", "forgiving", "exact"),
    [
        ([("from-pod", "x")], {"source_pod": ["/x"]}, {"source_pod": ["x"]}),
        ([("from-service", "x")], {"source_service": ["/x"]}, {"source_service": ["x"]}),
        ([("from-service", "x"), ("from-namespace", "n")], {"source_service": ["n/x"]},
         {"source_service": ["n/x"]}),
        ([("to-all-namespaces", ""), ("to-pod", "x")], {"destination_pod": ["/x"]},
         {"destination_pod": ["/x"]}),
        ([("from-namespace", "n"), ("from-pod", "/x")], {"source_pod": ["n/x"]},
         {"source_pod": ["/x"]}),
    ],
)  # fmt: skip
def test_namespaces_by_dialect(
    flags: list[tuple[str, str]], forgiving: dict[str, Any], exact: dict[str, Any]
) -> None:
    assert built(*flags) == [forgiving]
    assert built(*flags, dialect=Dialect.HUBBLE) == [exact]


def test_a_pod_says_its_namespace_even_among_all() -> None:
    assert built(("all-namespaces", ""), ("pod", "a/x"))[0] == {"source_pod": ["a/x"]}
    with pytest.raises(InvalidRequest, match='"a/x" is not in namespace ""'):
        built(("all-namespaces", ""), ("pod", "a/x"), dialect=Dialect.HUBBLE)


def test_hubble_refuses_pods_and_services_of_different_namespaces() -> None:
    flags = (("from-service", "a/x"), ("from-pod", "b/y"))
    with pytest.raises(InvalidRequest) as caught:
        built(*flags, dialect=Dialect.HUBBLE)
    assert str(caught.value) == 'service "a/x" is not in the pod\'s namespace "b"'
    assert built(*flags)  # matches nothing, but says what it says


def test_hubble_tells_every_conflict_on_its_own_line() -> None:
    flags = (("pod", "a/x"), ("service", "a/y"), ("namespace", "b"))
    with pytest.raises(InvalidRequest) as caught:
        built(*flags, dialect=Dialect.HUBBLE)
    assert str(caught.value).splitlines() == [
        '"a/x" is not in namespace "b"',
        '"a/y" is not in namespace "b"',
    ]


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        built(("pod", "\udcff"), dialect=Dialect.HUBBLE)


def test_each_exclusion_is_by_itself_and_its_values_are_alternatives() -> None:
    exclusions = Exclusions()
    for name, text in (("to-port", "443"), ("verdict", "drop"), ("to-port", "80")):
        exclusions.add(FILTER_KEYS[name], text)
    shown = [MessageToDict(one, preserving_proto_field_name=True) for one in exclusions.messages()]
    assert shown == [{"destination_port": ["443", "80"]}, {"verdict": ["DROPPED"]}]
