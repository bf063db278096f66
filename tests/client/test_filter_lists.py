import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.filter_lists import parse_filters
from palomar.raw_filters import filter_json
from palomar_proto.flow.flow_pb2 import DROPPED, EventTypeFilter, FlowFilter

SHOP = FlowFilter(source_pod=["shop/"])
DROPS = FlowFilter(verdict=[DROPPED])


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("", []),
        (" \n", []),
        ("{}", [FlowFilter()]),
        ('{"source_pod":["shop/"]}', [SHOP]),
        ('{"sourcePod":["shop/"]}', [SHOP]),
        ('{"source_pod":["shop/"]}{"verdict":[2]}', [SHOP, DROPS]),
        (' {"source_pod" : ["shop/"]}\t{"verdict":["DROPPED"]} ', [SHOP, DROPS]),
        ('{"source_identity":["1",2]}', [FlowFilter(source_identity=[1, 2])]),
    ],
)
def test_any_number_of_filters_in_one_text(
    text: str, filters: list[FlowFilter], dialect: Dialect
) -> None:
    assert parse_filters("allowlist", [text], dialect) == filters


def test_texts_come_one_behind_the_other() -> None:
    texts = ['{"source_pod":["shop/"]}', '{"verdict":["DROPPED"]}']
    assert parse_filters("allowlist", texts) == [SHOP, DROPS]


def test_arrays_are_taken_except_as_hubble() -> None:
    text = '[{"source_pod":["shop/"]}, {"verdict":["DROPPED"]}]'
    assert parse_filters("denylist", [text]) == [SHOP, DROPS]
    with pytest.raises(InvalidRequest, match="unexpected token"):
        parse_filters("denylist", [text], Dialect.HUBBLE)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    "text",
    ["null", "1", '"x"', "nope", '{"nope":1}', '{"source_pod":"shop/"}', '{"source_pod":["shop/"]',
     '{"verdict":["nope"]}', '{"uuid":["a"],"uuid":["b"]}', '{"reply":["true"]}', "NaN",
     "[" * 9999, '{"ip_trace_id":[-1]}'],
)  # fmt: skip
def test_what_is_no_filter_is_refused_in_one_line(text: str, dialect: Dialect) -> None:
    with pytest.raises(InvalidRequest, match=r"^[^\n]*denylist[^\n]*$"):
        parse_filters("denylist", [text], dialect)


def test_errors_as_hubble_begins_them() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_filters("allowlist", ['{"source_pod":['], Dialect.HUBBLE)
    assert str(caught.value) == (
        "invalid --allowlist flag: failed to decode '{\"source_pod\":[': unexpected EOF"
    )


@given(st.text())
def test_any_text_is_filters_or_refused(text: str) -> None:
    try:
        found = parse_filters("allowlist", [text])
    except InvalidRequest:
        return
    assert all(isinstance(one, FlowFilter) for one in found)


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1))
def test_what_is_written_is_read_back(values: list[str]) -> None:
    message = FlowFilter(source_label=values)
    assert parse_filters("allowlist", [filter_json(message)], Dialect.HUBBLE) == [message]


# protobuf's reader for Go refuses them, the one for Python does not.
@pytest.mark.parametrize(
    "text",
    ['{"verdict":["2"]}', '{"verdict":[2.5]}', '{"verdict":[true]}', '{"experimental":[]}',
     '{"uuid":["a"],"nodeName":[],"node_name":["b"]}', '{"source_identity":["+1"]}',
     '{"source_identity":["01"]}', '{"source_identity":[true]}', '{"event_type":[{"type":" 1"}]}'],
)  # fmt: skip
def test_loose_json_is_refused_as_hubble(text: str) -> None:
    with pytest.raises(InvalidRequest, match="failed to decode"):
        parse_filters("allowlist", [text], Dialect.HUBBLE)


@pytest.mark.parametrize(
    ("text", "made"),
    [('{"verdict":[2.0,99]}', FlowFilter(verdict=[DROPPED, 99])),  # type: ignore[list-item]  # an open enumeration
     ('{"source_identity":["1e2",1.0]}', FlowFilter(source_identity=[100, 1])),
     ('{"event_type":[{"subType":"-5"}],"uuid":null,"experimental":null}',
      FlowFilter(event_type=[EventTypeFilter(sub_type=-5)]))],
)  # fmt: skip
def test_odd_json_is_taken_as_hubble(text: str, made: FlowFilter) -> None:
    assert parse_filters("allowlist", [text], Dialect.HUBBLE) == [made]
