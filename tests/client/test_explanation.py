import unicodedata

from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from palomar.explanation import explanation_text
from palomar.testing import make_response
from palomar_proto.palomar.v1.explanation_pb2 import ExplainResponse

ANSWER = ParseDict(
    {
        "cause": "DROP_CAUSE_PATH_MTU",
        "headline": "A packet was too big.",
        "reason": "PKT_TOO_BIG",
        "reason_number": 1095,
        "function": "ip_forward",
        "meaning": "It does not fit.",
        "usual_causes": ["a tunnel"],
        "check_next": ["ip route get 10.0.0.1"],
        "policies": [
            {
                "policy": {"name": "web", "namespace": "shop", "kind": "NetworkPolicy"},
                "direction": "INGRESS",
                "denied": True,
            }
        ],
        "related_truncated": True,
        "counts": {
            "connection_flows": "1200",
            "connection_drops": "3",
            "pair_same_reason": "4",
            "node_same_reason": "5",
        },
        "path_mtu": {
            "mtu": 1300,
            "router": "10.0.0.1",
            "sender": "10.0.0.2",
            "destination": "10.0.0.3",
            "larger_since": "5",
            "largest_since": 7292,
        },
        "limits": ["one node only"],
        "seen_since": "2024-03-05T10:20:30Z",
    },
    ExplainResponse(),
)
ANSWER.flow.CopyFrom(make_response().flow)
ANSWER.related.add(relation=1).flow.CopyFrom(make_response().flow)


def test_everything_that_is_known_is_told() -> None:
    text = explanation_text(ANSWER)
    for part in (
        "default/web-0:4000",
        "Cause: path mtu",
        "Reason: PKT_TOO_BIG (1095), in ip_forward",
        "Policy: shop/web (NetworkPolicy) denied ingress",
        "at most 1300 bytes get through to 10.0.0.3; 5 packets were larger since, up to 7292 bytes",
        "3 of 1,200 flows of this connection",
        "Usual causes:\n  - a tunnel",
        "Check next:\n  - ip route get 10.0.0.1",
        "  same packet   Mar",
        "and more",
        "What could not be seen:\n  - one node only",
        "events since 2024-03-05 10:20:30Z",
    ):
        assert part in text


def test_little_that_is_known_makes_a_short_text() -> None:
    text = explanation_text(ExplainResponse(flow=make_response().flow))
    assert text.splitlines()[1:] == ["", "Cause: unknown"]


@given(st.text())
def test_no_text_of_the_server_steers_the_terminal(evil: str) -> None:
    answer = ExplainResponse(headline=evil, reason=evil, function=evil, meaning=evil)
    answer.check_next.append(evil)
    answer.limits.append(evil)
    answer.policies.add().policy.name = evil
    text = explanation_text(answer).replace("\n", "")
    assert not any(unicodedata.category(character) == "Cc" for character in text)
