from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.gob import Encoder
from palomar_server.address import parse_address
from palomar_server.decode.access_log import AccessLogDecoder
from palomar_server.decode.log_record import LOG_RECORD, MESSAGE_TYPE
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.options import DecodeOptions, Redaction
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.table import FLOW, Flag, Kind, Protocol

ENCODER = Encoder(LOG_RECORD)
NOW_NS = 1_700_000_000_000_000_000
SOURCE = {"ID": 5, "IPv4": "192.0.2.1", "IPv6": "2001:db8::1", "Port": 1000, "Identity": 70}
DESTINATION = {"IPv4": "198.51.100.1", "Port": 80, "Identity": 2}
HTTP = {"Method": "GET", "URL": b"http://h/", "Protocol": "HTTP/1.1"}


def payload(**fields: Any) -> bytes:
    record = {
        "Type": "Request",
        "Timestamp": "2023-11-14T22:13:20Z",
        "ObservationPoint": "Egress",
        "SourceEndpoint": SOURCE,
        "DestinationEndpoint": DESTINATION,
        "Verdict": "Forwarded",
        "TransportProtocol": 6,
    }
    value = ENCODER.encode({**record, **fields})
    return bytes((MESSAGE_TYPE,)) + ENCODER.descriptions + value


def decoder(options: DecodeOptions | None = None) -> AccessLogDecoder:
    surroundings = Surroundings(EndpointTable())
    pod = {"namespace": "n", "pod_name": "p", "workloads": [["w", "Deployment"]]}
    surroundings.apply(
        {
            "endpoints": {
                "a": {"at_ns": 0, "addresses": ["192.0.2.1"], "id": 5, "identity": 70, **pod},
            },
            "services": {"198.51.100.1": {"80": {"name": "s", "namespace": "t"}}},
            "dns_names": {"5": {"198.51.100.1": ["h.example"]}},
        }
    )
    return AccessLogDecoder(surroundings, options or DecodeOptions())


def decoded(data: bytes, by: AccessLogDecoder | None = None) -> flow_pb2.Flow:
    fault, message = (by or decoder()).decode(data, NOW_NS, np.zeros(1, FLOW)[0])
    assert fault is Malformed.NONE
    return flow_pb2.Flow.FromString(message)


def test_ends_are_the_records_and_names_those_of_their_addresses() -> None:
    label = {"Key": "io.cilium.k8s.policy.cluster", "Value": "east", "Source": "k8s"}
    labels = [label, {"Key": "host", "Source": "reserved"}, {"Key": "a", "Value": "b"}]
    flow = decoded(payload(SourceEndpoint={**SOURCE, "Labels": labels}))
    source = flow.source
    assert (source.ID, source.identity, source.namespace, source.pod_name) == (5, 70, "n", "p")
    assert [(one.name, one.kind) for one in source.workloads] == [("w", "Deployment")]
    assert source.cluster_name == "east"
    cluster = "k8s:io.cilium.k8s.policy.cluster=east"
    assert list(source.labels) == [":a=b", cluster, "reserved:host"]
    assert (flow.destination.ID, flow.destination.identity) == (0, 2)
    # What the source knows the destination by.
    assert list(flow.destination_names) == ["h.example"]
    assert flow.destination_service.name == "s"
    assert not flow.HasField("source_service")


def test_network_and_transport() -> None:
    flow = decoded(payload())
    assert (flow.IP.source, flow.IP.ipVersion) == ("192.0.2.1", flow_pb2.IPv4)
    assert (flow.l4.TCP.source_port, flow.l4.TCP.destination_port) == (1000, 80)
    assert decoded(payload(IPVersion=1)).IP.source == "2001:db8::1"
    assert decoded(payload(TransportProtocol=132)).l4.HasField("SCTP")
    assert not decoded(payload(TransportProtocol=1)).HasField("l4")
    assert not decoded(payload(IPVersion=2)).HasField("IP")


def test_without_addresses_there_are_no_names() -> None:
    flow = decoded(payload(SourceEndpoint={"ID": 5}, DestinationEndpoint={"IPv4": "garbage"}))
    assert (flow.source.ID, flow.source.pod_name) == (5, "")
    assert flow.IP.destination == "garbage"


@pytest.mark.parametrize(
    ("verdict", "number"),
    [
        ("Forwarded", flow_pb2.FORWARDED),
        ("Denied", flow_pb2.DROPPED),
        ("Error", flow_pb2.ERROR),
        ("Redirected", flow_pb2.REDIRECTED),
        ("Odd", flow_pb2.VERDICT_UNKNOWN),
    ],
)
def test_verdicts(verdict: str, number: int) -> None:
    assert decoded(payload(Verdict=verdict)).verdict == number


def test_type_direction_and_reply() -> None:
    flow = decoded(payload(Type="Response", ObservationPoint="Ingress", HTTP=HTTP))
    assert (flow.Type, flow.l7.type) == (flow_pb2.L7, flow_pb2.RESPONSE)
    assert (flow.traffic_direction, flow.reply) == (flow_pb2.INGRESS, True)
    assert flow.is_reply.value
    flow = decoded(payload(Type="Odd", ObservationPoint=""))
    assert (flow.traffic_direction, flow.l7.type) == (0, flow_pb2.UNKNOWN_L7_TYPE)
    assert not flow.is_reply.value


def test_message_is_of_dns_first_and_summary_of_http_first() -> None:
    flow = decoded(payload(HTTP=HTTP, DNS={"Query": "x."}, Kafka={"APIKey": "k"}))
    assert flow.l7.WhichOneof("record") == "dns"
    assert flow.Summary == "HTTP/1.1 GET http://h/"
    assert decoded(payload(DNS={"Query": "x."}, Kafka={"APIKey": "k"})).Summary == ""
    assert decoded(payload(Kafka={"APIKey": "k"})).Summary.startswith("Kafka request k ")


def test_other_protocols_are_told_by_their_fields() -> None:
    flow = decoded(payload(L7={"Proto": "r2d2", "Fields": {"b": "2", "a": "1"}}))
    assert flow.Summary == "r2d2 Fields: map[a:1 b:2]"
    assert decoded(payload(L7={})).Summary == " Fields: map[]"
    assert decoded(payload()).Summary == ""


def with_headers(**headers: str) -> dict[str, Any]:
    return {**HTTP, "Headers": {name.replace("_", "-"): [value] for name, value in headers.items()}}


def test_a_response_finds_its_request() -> None:
    by = decoder()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = f"00-{trace}-00f067aa0ba902b7-01"
    request = with_headers(X_Request_Id="r", Traceparent=parent)
    assert decoded(payload(HTTP=request), by).trace_context.parent.trace_id == trace
    response = payload(
        Type="Response", HTTP=with_headers(X_Request_Id="r"), Timestamp="2023-11-14T22:13:21.5Z"
    )
    flow = decoded(response, by)
    assert (flow.l7.latency_ns, flow.trace_context.parent.trace_id) == (1_500_000_000, trace)
    assert flow.Summary == "HTTP/1.1 0 1500ms (GET http://h/)"
    # Only once.
    flow = decoded(response, by)
    assert (flow.l7.latency_ns, flow.HasField("trace_context")) == (0, False)


def test_a_response_before_its_request_has_no_latency() -> None:
    by = decoder()
    http = with_headers(X_Request_Id="r")
    decoded(payload(HTTP=http), by)
    earlier = payload(Type="Response", HTTP=http, Timestamp="2023-11-14T22:13:19Z")
    assert decoded(earlier, by).l7.latency_ns == 0


def test_memory_of_requests_is_bounded() -> None:
    by = decoder(DecodeOptions(requests_max=1))
    for name in ("a", "b"):
        decoded(payload(HTTP=with_headers(X_Request_Id=name)), by)
    for name, latency_ns in (("a", 0), ("b", 1_000_000_000)):
        http = with_headers(X_Request_Id=name)
        data = payload(Type="Response", HTTP=http, Timestamp="2023-11-14T22:13:21Z")
        assert decoded(data, by).l7.latency_ns == latency_ns


def test_redaction() -> None:
    by = decoder(DecodeOptions(redact=Redaction(http_query=True)))
    flow = decoded(payload(HTTP={**HTTP, "URL": b"http://u:p@h/?q"}), by)
    assert flow.l7.http.url == "http://u:HUBBLE_REDACTED@h/"
    assert flow.Summary.endswith(flow.l7.http.url)


def test_row_says_what_filters_ask() -> None:
    row = np.zeros(1, FLOW)[0]
    by = decoder()
    by.decode(payload(Verdict="Denied"), NOW_NS, row)
    assert (row["kind"], row["event_type"], row["verdict"]) == (Kind.FLOW, 129, flow_pb2.DROPPED)
    assert (row["source_hi"], row["source_lo"]) == parse_address("192.0.2.1")
    assert (row["destination_port"], row["protocol"]) == (80, Protocol.TCP)
    assert (row["source_identity"], row["destination_identity"]) == (70, 2)
    assert row["source_endpoint"] != 0
    assert row["flags"] == Flag.IP | Flag.L4
    assert (row["is_reply"], row["direction"]) == (0, flow_pb2.EGRESS)
    assert row["local_endpoint_id"] == 5
    assert row["time_ns"] == NOW_NS


def test_time_of_a_wrong_clock_is_not_the_rows() -> None:
    row = np.zeros(1, FLOW)[0]
    decoder().decode(payload(Timestamp="2200-01-01T00:00:00Z"), NOW_NS, row)
    assert row["time_ns"] == NOW_NS
    # Columns have no time before 1970.
    decoder().decode(payload(Timestamp="1969-12-31T23:59:59Z"), 0, row)
    assert row["time_ns"] == 0


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"Timestamp": "yesterday"}, Malformed.LOG_TIME),
        ({"Timestamp": "0000-01-01T00:00:00Z"}, Malformed.LOG_TIME),
        ({"HTTP": {"URL": b":"}}, Malformed.LOG_URL),
        ({"IPVersion": 256}, Malformed.GOB),
    ],
)
def test_malformed(fields: dict[str, Any], fault: Malformed) -> None:
    row = np.zeros(1, FLOW)[0]
    assert decoder().decode(payload(**fields), NOW_NS, row) == (fault, b"")
    assert row == np.zeros(1, FLOW)[0]


BY = decoder()
WHOLE = payload(
    HTTP=with_headers(X_Request_Id="r"), DNS={"Query": "x.", "IPs": [b"1234"]}, L7={"Proto": "p"}
)


@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=8), st.booleans())
def test_damage_anywhere_is_malformed_or_a_flow(at: int, junk: bytes, insert: bool) -> None:  # noqa: FBT001
    data = WHOLE[:at] + junk + WHOLE[at if insert else at + len(junk) :]
    fault, message = BY.decode(data, NOW_NS, np.zeros(1, FLOW)[0])
    if fault:
        assert message == b""
    else:
        flow_pb2.Flow.FromString(message)


@given(st.integers(0, len(WHOLE) - 1))
def test_cut_anywhere_it_is_malformed(length: int) -> None:
    fault, _ = BY.decode(WHOLE[:length], NOW_NS, np.zeros(1, FLOW)[0])
    assert fault is Malformed.GOB
