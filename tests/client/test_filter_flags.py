from palomar.filter_flags import EXCLUSIVE_FLAGS, FILTER_KEYS, FilterKeywords, Side
from palomar_proto.flow.flow_pb2 import FlowFilter

FIELDS = FlowFilter.DESCRIPTOR.fields_by_name


def test_every_key_fills_a_field_of_the_message() -> None:
    for key in FILTER_KEYS.values():
        if key.field == "namespace":  # written into the pod patterns
            continue
        sides = {
            Side.NONE: ("",),
            Side.SOURCE: ("source_",),
            Side.DESTINATION: ("destination_",),
            Side.EITHER: ("source_", "destination_"),
        }[key.side]
        for side in sides:
            assert f"{side}{key.field}" in FIELDS


def test_keywords_of_the_library_are_the_flags() -> None:
    keywords = {name.replace("_", "-") for name in FilterKeywords.__annotations__}
    assert keywords == set(FILTER_KEYS) - {"no-reply"}  # reply=False


def test_short_forms_are_unique() -> None:
    shorts = [key.short for key in FILTER_KEYS.values() if key.short]
    assert sorted(shorts) == ["n", "t"]


def test_exclusive_groups_name_known_flags() -> None:
    for group in EXCLUSIVE_FLAGS:
        assert set(group) <= set(FILTER_KEYS)


def test_flags_without_a_value_have_a_constant() -> None:
    for key in FILTER_KEYS.values():
        assert bool(key.metavar) == (key.constant is None)
