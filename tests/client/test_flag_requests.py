from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from palomar.dialect import Dialect
from palomar.errors import InvalidRequest
from palomar.flag_requests import events_flag_request, flows_flag_request
from palomar.requests import NUMBER_MAX
from palomar_proto.observer.observer_pb2 import GetAgentEventsRequest

NOW_NS = 1_700_000_000 * 10**9
OURS, HUBBLE = Dialect.PALOMAR, Dialect.HUBBLE
NOTHING = {"last": 0, "first": 0, "all": False, "since": "", "until": "", "follow": False,
           "input_file": ""}  # fmt: skip


def flows(*flags: tuple[str, str], dialect: Dialect = OURS, **options: Any) -> dict[str, Any]:
    request = flows_flag_request(flags, {**NOTHING, **options}, dialect, NOW_NS)
    return MessageToDict(request, preserving_proto_field_name=True)


@pytest.mark.parametrize(
    ("options", "ours", "hubble"),
    [
        ({}, 20, 20),
        ({"last": 5}, 5, 5),
        ({"first": 5}, 5, 5),
        ({"all": True}, NUMBER_MAX, NUMBER_MAX),
        ({"follow": True}, 0, 0),
        ({"follow": True, "last": 2}, 2, 2),
        ({"since": "5m"}, 0, 0),
        ({"since": "5m", "all": True}, 0, 0),
        ({"since": "5m", "first": 4}, 4, 4),
        ({"until": "5m"}, NUMBER_MAX, 0),
        ({"until": "5m", "all": True}, NUMBER_MAX, 0),
        ({"until": "5m", "follow": True}, 0, 0),
        ({"input_file": "f"}, 0, 0),
        ({"input_file": "f", "all": True}, NUMBER_MAX, NUMBER_MAX),
        ({"input_file": "f", "until": "5m"}, 0, 0),
        ({"input_file": "f", "last": 7}, 7, 7),
    ],
)
def test_number_of_flows(options: dict[str, Any], ours: int, hubble: int) -> None:
    for dialect, number in ((OURS, ours), (HUBBLE, hubble)):
        made = flows(dialect=dialect, **options)
        assert int(made.get("number", 0)) == number
        assert made.get("first", False) is bool(options.get("first"))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"first": 1, "last": 1}, ("first", "last")),
        ({"first": 1, "all": True}, ("first", "all")),
        ({"first": 1, "follow": True}, ("first", "follow")),
        ({"last": 1, "all": True}, ("last", "all")),
    ],
)
def test_selections_that_exclude_each_other(
    options: dict[str, Any], names: tuple[str, str]
) -> None:
    with pytest.raises(InvalidRequest, match="cannot be combined"):
        flows(**options)
    with pytest.raises(InvalidRequest) as caught:
        flows(dialect=HUBBLE, **options)
    assert str(caught.value) == f"cannot set both --{names[0]} and --{names[1]}"


def test_times_that_hubble_does_not_take() -> None:
    assert flows(since="2024-03-05 10:20")["since"] == "2024-03-05T10:20:00Z"
    with pytest.raises(InvalidRequest) as caught:
        flows(dialect=HUBBLE, since="2024-03-05 10:20")
    assert str(caught.value) == "--since '2024-03-05 10:20' is neither a duration nor a date"


def test_hubble_does_not_read_an_until_that_it_ignores() -> None:
    assert "until" not in flows(dialect=HUBBLE, until="nonsense", follow=True)
    with pytest.raises(InvalidRequest):
        flows(until="nonsense", follow=True)


LISTS = (
    ("denylist", '{"uuid":["x"]}'),
    ("allowlist", '{"source_pod":["a/"]}'),
    ("from-port", "80"),
    ("not", ""),
    ("from-port", "443"),
    ("allowlist", '{"verdict":["DROPPED"]}'),
)


def test_flags_narrow_a_list() -> None:
    made = flows(*LISTS, ("not-verdict", "audit"))
    assert made["whitelist"] == [
        {"source_port": ["80"], "source_pod": ["a/"]},
        {"source_port": ["80"], "verdict": ["DROPPED"]},
    ]
    assert made["blacklist"] == [{"source_port": ["443"]}, {"verdict": ["AUDIT"]}, {"uuid": ["x"]}]
    with pytest.raises(InvalidRequest, match="the filter flags cannot be combined"):
        flows(("http-path", "/a"), ("allowlist", '{"http_path":["/b"]}'))
    with pytest.raises(InvalidRequest, match="no flow can pass both"):
        flows(("verdict", "drop"), ("allowlist", '{"verdict":["FORWARDED"]}'))


def test_hubble_takes_flags_and_lists_for_alternatives() -> None:
    made = flows(*LISTS, dialect=HUBBLE)
    assert made["whitelist"] == [
        {"source_port": ["80"]}, {"source_pod": ["a/"]}, {"verdict": ["DROPPED"]},
    ]  # fmt: skip
    assert made["blacklist"] == [{"source_port": ["443"]}, {"uuid": ["x"]}]


@pytest.mark.parametrize(
    ("options", "ours", "hubble"),
    [
        ({}, 20, 20),
        ({"follow": True}, 20, 20),
        ({"all": True}, NUMBER_MAX, NUMBER_MAX),
        ({"last": 5}, 5, 5),
        ({"since": "5m"}, 0, 0),
        ({"until": "5m", "follow": True}, 20, 20),
    ],
)
def test_number_of_events(options: dict[str, Any], ours: int, hubble: int) -> None:
    for dialect, number in ((OURS, ours), (HUBBLE, hubble)):
        request = events_flag_request(
            GetAgentEventsRequest, {**NOTHING, **options}, dialect, NOW_NS
        )
        assert (request.number, request.follow) == (number, options.get("follow", False))


def test_hubble_ignores_the_first_events() -> None:
    options = {**NOTHING, "first": 3, "last": 2, "all": True}
    request = events_flag_request(GetAgentEventsRequest, options, HUBBLE, NOW_NS)
    assert (request.number, request.first) == (NUMBER_MAX, False)
    with pytest.raises(InvalidRequest, match="cannot be combined"):
        events_flag_request(GetAgentEventsRequest, options, OURS, NOW_NS)


@pytest.mark.parametrize(
    "paths", ["nope", "uuid,", "uuid,,time", "source.labels.x", "source.", " uuid"]
)
def test_field_mask_is_judged_as_hubble(paths: str) -> None:
    with pytest.raises(InvalidRequest, match="names no field"):
        flows(dialect=HUBBLE, field_mask=paths, output="json")
    flows(dialect=HUBBLE, field_mask="uuid,source.pod_name,l4.TCP.flags", output="json")


def test_former_json_has_no_field_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBLE_COMPAT", "legacy-json-output")
    with pytest.raises(InvalidRequest, match="-o json shows fields of its own"):
        flows(dialect=HUBBLE, field_mask="uuid", output="json")
    flows(dialect=HUBBLE, field_mask="uuid", output="jsonpb")
