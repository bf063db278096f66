"""Access logs of Cilium's proxies to flow.Flow: HTTP, DNS, Kafka and what else speaks over L4.

The record says who spoke to whom; names of pods, services and hosts are looked up by its addresses.
A response finds its request by the header X-Request-Id, for latency and trace context. Rules:
Hubble's L7 parser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from palomar_proto.flow import flow_pb2
from palomar_proto.gob import GobError
from palomar_proto.url import UrlError
from palomar_server.address import parse_address
from palomar_server.decode.dns import dns_message, dns_summary
from palomar_server.decode.http import http_message, http_summary, request_id, shown_url, trace_id
from palomar_server.decode.kafka import kafka_message, kafka_summary
from palomar_server.decode.log_record import MESSAGE_TYPE, decode_log_record
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.request_memory import Request, RequestMemory
from palomar_server.decode.timestamp_text import parse_time
from palomar_server.table import Flag, Kind, Protocol

if TYPE_CHECKING:
    from palomar_server.address import Address
    from palomar_server.decode.options import DecodeOptions, Redaction
    from palomar_server.surroundings import Surroundings

_VERDICTS = {
    "Forwarded": flow_pb2.FORWARDED,
    "Denied": flow_pb2.DROPPED,
    "Error": flow_pb2.ERROR,
    "Redirected": flow_pb2.REDIRECTED,
}
_DIRECTIONS = {"Ingress": flow_pb2.INGRESS, "Egress": flow_pb2.EGRESS}
_FLOW_TYPES = {
    "Request": flow_pb2.REQUEST,
    "Response": flow_pb2.RESPONSE,
    "Sample": flow_pb2.SAMPLE,
}
_IP_VERSIONS = (flow_pb2.IPv4, flow_pb2.IPv6)
"""By the record's number."""
_ADDRESS_FIELDS = ("IPv4", "IPv6")
_TRANSPORTS = {
    int(Protocol.TCP): "TCP",
    int(Protocol.UDP): "UDP",
    int(Protocol.SCTP): "SCTP",
}
"""Fields of flow.Layer4 by protocol number."""
_PROTOCOLS = {field: number for number, field in _TRANSPORTS.items()}
_CLUSTER_LABEL = ("k8s", "io.cilium.k8s.policy.cluster")
_WORD_END = 1 << 16
_U32 = (1 << 32) - 1
_CLOCK_TRUST_NS = 3_600_000_000_000
"""Rows are of about the time at which they came: a record that says otherwise has a wrong clock."""
_LATENCY_MAX_NS = (1 << 63) - 1


class _End(NamedTuple):
    """One end of a flow, as the record has it and as the tables know it."""

    record: dict[str, Any]
    text: str
    """The address."""
    address: Address | None
    """The same as numbers; None if it is none."""
    row: int
    """Of the endpoint table."""
    port: int
    """0 if the transport has none."""

    @property
    def id(self) -> int:
        """The endpoint's; 0 if it is not local."""
        return int(self.record.get("ID", 0)) & _U32

    @property
    def identity(self) -> int:
        return int(self.record.get("Identity", 0)) & _U32


class AccessLogDecoder:
    """Decodes access logs one by one, and remembers requests. Belongs to the agent's thread.

    Args:
        surroundings: gives meaning to addresses.
        options: what users chose.
    """

    def __init__(self, surroundings: Surroundings, options: DecodeOptions) -> None:
        self._surroundings = surroundings
        self._redaction = options.redact
        self._requests = RequestMemory(options.requests_max)

    def decode(self, payload: bytes, received_ns: int, row: Any) -> tuple[Malformed, bytes]:
        """Decode one access log.

        Args:
            payload: the message.
            received_ns: when it came, UTC ns.
            row: its row of the flow table, to fill.

        Returns:
            What is wrong with it, and a serialised flow.Flow without time, uuid and node.
        """
        try:
            record = decode_log_record(payload)
            time_ns = parse_time(record.get("Timestamp", ""))
            url = shown_url(record["HTTP"], self._redaction) if "HTTP" in record else ""
        except GobError:
            return Malformed.GOB, b""
        except UrlError:
            return Malformed.LOG_URL, b""
        except ValueError:
            return Malformed.LOG_TIME, b""
        trusted = abs(time_ns - received_ns) <= _CLOCK_TRUST_NS
        row_time_ns = max(0, time_ns) if trusted else received_ns
        source = self._end(record, "SourceEndpoint", row_time_ns)
        destination = self._end(record, "DestinationEndpoint", row_time_ns)
        flow = flow_pb2.Flow(
            Type=flow_pb2.L7,
            verdict=_VERDICTS.get(record.get("Verdict", ""), flow_pb2.VERDICT_UNKNOWN),
            traffic_direction=_DIRECTIONS.get(
                record.get("ObservationPoint", ""), flow_pb2.TRAFFIC_DIRECTION_UNKNOWN
            ),
            l7=_layer7(record, url, self._redaction),
        )
        flow.event_type.type = MESSAGE_TYPE
        flow.is_reply.value = flow.reply = flow.l7.type == flow_pb2.RESPONSE
        _set_network(flow, record, source, destination)
        self._set_meaning(flow, source, destination)
        self._relate(flow, record.get("HTTP", {}), time_ns, received_ns)
        flow.Summary = _summary(record, flow.l7, url)
        _fill_row(row, flow, source, destination)
        row["time_ns"] = row_time_ns
        return Malformed.NONE, flow.SerializeToString()

    def _end(self, record: dict[str, Any], side: str, time_ns: int) -> _End:
        part = record.get(side, {})
        # IPv6 is 1; anything else but 0 has no addresses.
        version = record.get("IPVersion", 0)
        text = part.get(_ADDRESS_FIELDS[version], "") if version < len(_ADDRESS_FIELDS) else ""
        try:
            address = parse_address(text)
        except ValueError:
            # Proxies leave addresses out now and then; the flow is told all the same.
            address = None
        row = 0 if address is None else self._surroundings.endpoints.row_at(address, time_ns)
        has_ports = record.get("TransportProtocol", 0) in _TRANSPORTS
        return _End(part, text, address, row, part.get("Port", 0) if has_ports else 0)

    def _set_meaning(self, flow: flow_pb2.Flow, source: _End, destination: _End) -> None:
        """Set what addresses mean: endpoints, services, host names as the other end knows them."""
        names = self._surroundings.names
        for end, other, message, service_message, host_names in (
            (source, destination, flow.source, flow.source_service, flow.source_names),
            (
                destination,
                source,
                flow.destination,
                flow.destination_service,
                flow.destination_names,
            ),
        ):
            self._describe(message, end)
            if end.address is None:
                continue
            host_names.extend(names.dns(other.id, end.address))
            service = names.service(end.address, end.port)
            if service is not None:
                service_message.name, service_message.namespace = service.name, service.namespace

    def _describe(self, message: flow_pb2.Endpoint, end: _End) -> None:
        """An end: number, identity and labels are the record's, names those of its address."""
        endpoint = self._surroundings.endpoints.endpoint(end.row)
        message.SetInParent()
        message.ID = end.id
        message.identity = end.identity
        message.namespace, message.pod_name = endpoint.namespace, endpoint.pod_name
        labels = [
            (one.get("Source", ""), one.get("Key", ""), one.get("Value", ""))
            for one in end.record.get("Labels", ())
        ]
        message.labels.extend(
            sorted(
                f"{origin}:{key}={value}" if value else f"{origin}:{key}"
                for origin, key, value in labels
            )
        )
        for origin, key, value in labels:
            if (origin, key) == _CLUSTER_LABEL:
                message.cluster_name = value
                break
        for name, kind in endpoint.workloads:
            message.workloads.add(name=name, kind=kind)

    def _relate(
        self, flow: flow_pb2.Flow, http: dict[str, Any], time_ns: int, received_ns: int
    ) -> None:
        """Remember a request, or set what the request of a response tells."""
        shared_id = request_id(http)
        trace = ""
        if flow.l7.type == flow_pb2.REQUEST:
            trace = trace_id(http)
            if shared_id:
                self._requests.remember(shared_id, Request(time_ns, trace, received_ns))
        elif flow.l7.type == flow_pb2.RESPONSE and shared_id:
            request = self._requests.take(shared_id, received_ns)
            if request is not None:
                trace = request.trace_id
                latency_ns = min(max(0, time_ns - request.time_ns), _LATENCY_MAX_NS)
                flow.l7.latency_ns = latency_ns
        if trace:
            flow.trace_context.parent.trace_id = trace


def _layer7(record: dict[str, Any], url: str, redaction: Redaction | None) -> flow_pb2.Layer7:
    message = flow_pb2.Layer7(
        type=_FLOW_TYPES.get(record.get("Type", ""), flow_pb2.UNKNOWN_L7_TYPE)
    )
    request = message.type == flow_pb2.REQUEST
    if (dns := record.get("DNS")) is not None:
        message.dns.CopyFrom(dns_message(dns, request=request))
    elif (http := record.get("HTTP")) is not None:
        message.http.CopyFrom(http_message(http, url, redaction, request=request))
    elif (kafka := record.get("Kafka")) is not None:
        message.kafka.CopyFrom(kafka_message(kafka, redaction, request=request))
    return message


def _summary(record: dict[str, Any], layer7: flow_pb2.Layer7, url: str) -> str:
    """Of the first protocol in the record; that the message looks in another order is Hubble's."""
    if (http := record.get("HTTP")) is not None:
        return http_summary(http, url, layer7.type, layer7.latency_ns)
    if "Kafka" in record:
        return kafka_summary(layer7.kafka, layer7.type) if layer7.HasField("kafka") else ""
    if "DNS" in record:
        return dns_summary(layer7.dns, layer7.type)
    if (generic := record.get("L7")) is not None:
        fields = sorted(generic.get("Fields", {}).items())
        told = " ".join(f"{name}:{value}" for name, value in fields)
        return f"{generic.get('Proto', '')} Fields: map[{told}]"
    return ""


def _set_network(
    flow: flow_pb2.Flow, record: dict[str, Any], source: _End, destination: _End
) -> None:
    version = record.get("IPVersion", 0)
    if version < len(_IP_VERSIONS):
        flow.IP.source, flow.IP.destination = source.text, destination.text
        flow.IP.ipVersion = _IP_VERSIONS[version]
    transport = _TRANSPORTS.get(record.get("TransportProtocol", 0))
    if transport is not None:
        header = getattr(flow.l4, transport)
        header.SetInParent()
        header.source_port, header.destination_port = source.port, destination.port


def _fill_row(row: Any, flow: flow_pb2.Flow, source: _End, destination: _End) -> None:
    """Fill the columns that filters ask, as for any other flow."""
    row["kind"] = int(Kind.FLOW)
    row["event_type"] = MESSAGE_TYPE
    row["verdict"] = flow.verdict
    row["direction"] = flow.traffic_direction
    row["is_reply"] = flow.reply
    row["ip_version"] = flow.IP.ipVersion
    flags = 0
    for side, end in (("source", source), ("destination", destination)):
        if end.address is not None:
            flags |= Flag.IP
            row[f"{side}_hi"], row[f"{side}_lo"] = end.address
        row[f"{side}_port"] = end.port
        row[f"{side}_endpoint"] = end.row
        row[f"{side}_identity"] = end.identity
    local = destination if flow.traffic_direction == flow_pb2.INGRESS else source
    row["local_endpoint_id"] = local.id if local.id < _WORD_END else 0
    transport = flow.l4.WhichOneof("protocol")
    if transport is not None:
        flags |= Flag.L4
        row["protocol"] = _PROTOCOLS[transport]
    row["flags"] = int(flags)
