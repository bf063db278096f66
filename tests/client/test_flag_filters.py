from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.flag_filters import split_flags


def split(
    *flags: tuple[str, str], dialect: Dialect = Dialect.PALOMAR
) -> tuple[list[dict[str, Any]], ...]:
    return tuple(
        [MessageToDict(one, preserving_proto_field_name=True) for one in messages]
        for messages in split_flags(flags, dialect)
    )


def test_not_moves_only_the_next_filter() -> None:
    allow, deny = split(("not", "true"), ("pod", "a/x"), ("pod", "b/y"))
    assert allow == [{"source_pod": ["b/y"]}, {"destination_pod": ["b/y"]}]
    assert deny == [{"source_pod": ["a/x"]}, {"destination_pod": ["a/x"]}]


def test_negated_filters_make_one_filter_together() -> None:
    _, deny = split(("not", ""), ("verdict", "drop"), ("not", ""), ("protocol", "tcp"))
    assert deny == [{"verdict": ["DROPPED"], "protocol": ["tcp"]}]


def test_filters_that_are_negations_leave_out_one_by_one() -> None:
    allow, deny = split(
        ("not-verdict", "drop"), ("not-protocol", "tcp"), ("not-to-port", "1"), ("not-to-port", "2")
    )
    assert allow == []
    assert deny == [
        {"verdict": ["DROPPED"]}, {"protocol": ["tcp"]}, {"destination_port": ["1", "2"]},
    ]  # fmt: skip


def test_both_kinds_of_negation_go_together() -> None:
    _, deny = split(("not", ""), ("verdict", "drop"), ("not-protocol", "tcp"))
    assert deny == [{"verdict": ["DROPPED"]}, {"protocol": ["tcp"]}]


@pytest.mark.parametrize(
    "flags",
    [
        [("not", "")],
        [("not", ""), ("not", ""), ("pod", "x")],
        [("pod", "x"), ("not", "")],
        [("not", ""), ("not-pod", "x")],
    ],
)
@pytest.mark.parametrize("dialect", Dialect)
def test_not_needs_exactly_one_filter(flags: list[tuple[str, str]], dialect: Dialect) -> None:
    with pytest.raises(InvalidRequest, match="--not"):
        split_flags(flags, dialect)


@pytest.mark.parametrize(
    "names",
    [("ip", "from-ip"), ("pod", "to-pod"), ("namespace", "from-namespace"), ("port", "to-port"),
     ("from-ip", "from-pod"), ("from-pod", "namespace"), ("cluster", "to-cluster")],
)  # fmt: skip
def test_flags_that_exclude_each_other_are_refused(names: tuple[str, ...]) -> None:
    values = {"ip": "1.1.1.1", "pod": "x", "namespace": "n", "port": "80", "cluster": "c"}
    flags = [(name, values[name.rpartition("-")[2]]) for name in names]
    with pytest.raises(InvalidRequest, match="cannot be combined"):
        split_flags(flags)
    negated_first = [("not", ""), *flags]
    assert split_flags(negated_first)  # different lists do not disturb each other


@pytest.mark.parametrize(
    ("flag", "forgiving", "exact"),
    [
        (("encrypted", "true"), [{"encrypted": [True]}], [{"encrypted": [True]}]),
        (("encrypted", "false"), [{"encrypted": [False]}], [{"encrypted": [True]}]),
        (("unencrypted", "no"), [{"encrypted": [True]}], [{"encrypted": [False]}]),
        (("ipv4", "false"), [], [{"ip_version": ["IPv4"]}]),
        (("reply", "false"), [{"reply": [False]}], [{"reply": [True]}]),
        (("from-all-namespaces", "0"), [], [{"source_pod": ["/"]}]),
    ],
)
def test_a_flag_without_a_value_that_was_given_one(
    flag: tuple[str, str], forgiving: list[dict[str, Any]], exact: list[dict[str, Any]]
) -> None:
    assert split(flag) == (forgiving, [])
    assert split(flag, dialect=Dialect.HUBBLE) == (exact, [])


def test_not_false_is_none_but_negates_in_hubble() -> None:
    flags = (("not", "false"), ("verdict", "DROPPED"))
    assert split(*flags) == ([{"verdict": ["DROPPED"]}], [])
    assert split(*flags, dialect=Dialect.HUBBLE) == ([], [{"verdict": ["DROPPED"]}])


def test_a_wrong_boolean_is_refused_but_not_by_hubble() -> None:
    with pytest.raises(InvalidRequest, match="--ipv4 takes true or false, not 'x'"):
        split(("ipv4", "x"))
    assert split(("ipv4", "x"), dialect=Dialect.HUBBLE)[0] == [{"ip_version": ["IPv4"]}]


def test_hubble_errors_name_flag_and_value() -> None:
    with pytest.raises(InvalidRequest) as caught:
        split(("namespace", "a"), ("from-namespace", "b"), dialect=Dialect.HUBBLE)
    assert str(caught.value) == (
        'invalid argument "b" for "--from-namespace" flag: '
        "filters --from-namespace and --namespace cannot be combined"
    )
    with pytest.raises(InvalidRequest) as caught:
        split(("type", "x"), dialect=Dialect.HUBBLE)
    assert str(caught.value).startswith(
        'invalid argument "x" for "-t, --type" flag: event type "x" is'
    )
