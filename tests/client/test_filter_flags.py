from palomar.filter_flags import (
    EXCLUSIVE_FLAGS,
    FILTER_KEYS,
    HUBBLE_EXCLUSIVE_FLAGS,
    FilterKeywords,
    Side,
)
from palomar_proto.flow.flow_pb2 import FlowFilter

FIELDS = FlowFilter.DESCRIPTOR.fields_by_name
SIDES = {
    Side.NONE: ("",),
    Side.SOURCE: ("source_",),
    Side.DESTINATION: ("destination_",),
    Side.EITHER: ("source_", "destination_"),
}
WRITTEN_ELSEWHERE = {"namespace", "cel_expression"}  # into pod patterns, into `experimental`


def test_every_key_fills_a_field_of_the_message() -> None:
    for key in FILTER_KEYS.values():
        for side in SIDES[key.side]:
            assert f"{side}{key.field}" in FIELDS or key.field in WRITTEN_ELSEWHERE


def test_every_field_of_the_message_has_a_key() -> None:
    filled = {f"{side}{key.field}" for key in FILTER_KEYS.values() for side in SIDES[key.side]}
    assert set(FIELDS) - filled == {"experimental"}


def test_keywords_of_the_library_are_the_flags() -> None:
    keywords = {name.replace("_", "-") for name in FilterKeywords.__annotations__}
    contraries = {"no-reply", "unencrypted"}  # reply=False, encrypted=False
    assert {name for name in keywords if not name.startswith("not-")} == (
        set(FILTER_KEYS) - contraries
    )
    assert {name.removeprefix("not-") for name in keywords} == set(FILTER_KEYS) - contraries


def test_short_forms_are_those_of_hubble() -> None:
    shorts = {key.short: name for name, key in FILTER_KEYS.items() if key.short}
    assert shorts == {
        "n": "namespace", "A": "all-namespaces", "l": "label", "4": "ipv4", "6": "ipv6",
        "t": "type",
    }  # fmt: skip


def test_exclusive_groups_name_known_flags() -> None:
    for group in EXCLUSIVE_FLAGS:
        assert set(group) <= set(FILTER_KEYS)
    assert set(HUBBLE_EXCLUSIVE_FLAGS) < set(EXCLUSIVE_FLAGS)


def test_flags_without_a_value_have_a_constant() -> None:
    for key in FILTER_KEYS.values():
        assert bool(key.metavar) == (key.constant is None)


def test_opposites_are_mutual() -> None:
    for key in FILTER_KEYS.values():
        if key.opposite:
            assert FILTER_KEYS[key.opposite].opposite == key.name
            assert FILTER_KEYS[key.opposite].constant == (not key.constant)


def test_usage_is_what_hubble_calls_a_flag_in_errors() -> None:
    assert FILTER_KEYS["namespace"].usage == "-n, --namespace"
    assert FILTER_KEYS["pod"].usage == "--pod"
