"""The properties behind palomar.v1.FlowField: how each stands in rows, and how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2, flow_field_pb2
from palomar_server.endpoint_message import endpoint_message
from palomar_server.errors import InvalidRequest
from palomar_server.flow_property import (
    AddressNameProperty,
    AddressProperty,
    NumberProperty,
    RecordProperty,
    TableProperty,
    has_ports,
)
from palomar_server.flow_summary import TCP_FLAGS
from palomar_server.surroundings import KERNEL_DROP_REASON_BASE
from palomar_server.table import Flag
from palomar_server.table import Protocol as Transport
from palomar_server.vocabulary import pair_keys, split_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from palomar_server.address import Address
    from palomar_server.endpoints import Endpoint
    from palomar_server.flow_property import End, Property, RecordOf, Values
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

    _Read: TypeAlias = Callable[[Rows, End], tuple[NDArray[np.uint64], Mask]]
    _Make: TypeAlias = Callable[[Surroundings, RecordOf, str], Property]
    """From the tables, the messages of rows, and the name of this node."""

_INT32_SIGN, _INT32_RANGE = 1 << 31, 1 << 32

_TRANSPORT_NAMES = {
    int(Transport.ICMP): "icmpv4",
    int(Transport.ICMPV6): "icmpv6",
    int(Transport.TCP): "tcp",
    int(Transport.UDP): "udp",
    int(Transport.SCTP): "sctp",
    int(Transport.VRRP): "vrrp",
    int(Transport.IGMP): "igmp",
}
"""As FlowFilter.protocol takes them."""

_EVENT_TYPE_NAMES = {
    int(MessageType.DROP): "drop",
    int(MessageType.DEBUG_CAPTURE): "capture",
    int(MessageType.TRACE): "trace",
    int(MessageType.POLICY_VERDICT): "policy-verdict",
    int(MessageType.TRACE_SOCK): "trace-sock",
    int(MessageType.ACCESS_LOG): "l7",
}
"""As the command line's --type takes them."""


# How numbers are written.


def drop_reason_name(number: int) -> str:
    """The name of a flow.DropReason, Cilium's or the kernel's; the number where it has none."""
    signed = (number + _INT32_SIGN) % _INT32_RANGE - _INT32_SIGN
    if signed >= KERNEL_DROP_REASON_BASE:
        stable = signed - KERNEL_DROP_REASON_BASE
        return _enum_name(drop_reason_pb2.KernelDropReason.items(), stable) or str(signed)
    return _enum_name(flow_pb2.DropReason.items(), signed) or str(signed)


def _enum_name(items: Sequence[tuple[str, int]], number: int) -> str:
    return next((name for name, value in items if value == number), "")


def _named(items: Sequence[tuple[str, int]]) -> Callable[[int], str]:
    names = {number: name for name, number in items}
    return lambda number: names.get(number, str(number))


def _flag_names(flags: int) -> str:
    return ", ".join(name for name, bit in TCP_FLAGS if flags & bit)


def _reply_name(number: int) -> str:
    return "true" if number else "false"


# Where they stand.


def _column(name: str, flag: int = 0) -> _Read:
    """A column, of the rows that have the flag."""

    def read(rows: Rows, _: End) -> tuple[NDArray[np.uint64], Mask]:
        has: Mask = rows["flags"] & np.uint8(flag) == np.uint8(flag)
        return rows[name].astype(np.uint64), has

    return read


def _read_endpoint(rows: Rows, end: End) -> NDArray[np.uint64]:
    return rows[f"{end}_endpoint"].astype(np.uint64)


def _read_endpoint_and_identity(rows: Rows, end: End) -> NDArray[np.uint64]:
    return pair_keys(
        rows[f"{end}_endpoint"].astype(np.int64), rows[f"{end}_identity"].astype(np.int64)
    )


def _read_interface(rows: Rows, _: End) -> NDArray[np.uint64]:
    return rows["interface"].astype(np.uint64)


def _read_identity(rows: Rows, end: End) -> tuple[NDArray[np.uint64], Mask]:
    identities = rows[f"{end}_identity"]
    return identities.astype(np.uint64), identities != 0


def _read_port(rows: Rows, end: End) -> tuple[NDArray[np.uint64], Mask]:
    return rows[f"{end}_port"].astype(np.uint64), has_ports(rows)


def _read_drop_reason(rows: Rows, _: End) -> tuple[NDArray[np.uint64], Mask]:
    return rows["drop_reason"].astype(np.uint64), rows["verdict"] == flow_pb2.DROPPED


def _read_reply(rows: Rows, _: End) -> tuple[NDArray[np.uint64], Mask]:
    known: Mask = rows["is_reply"] >= 0
    return np.where(known, rows["is_reply"], 0).astype(np.uint64), known


def _read_flags(rows: Rows, _: End) -> tuple[NDArray[np.uint64], Mask]:
    has: Mask = rows["flags"] & np.uint8(Flag.L4) != 0
    has &= (rows["protocol"] == Transport.TCP) & (rows["tcp_flags"] != 0)
    return rows["tcp_flags"].astype(np.uint64), has


# What endpoints, identities and addresses are called.


def _of_endpoint(values_of: Callable[[Endpoint], Values], *, many: bool = False) -> _Make:
    def make(tables: Surroundings, *_: object) -> Property:
        return TableProperty(
            tables, _read_endpoint, lambda row: values_of(tables.endpoints.endpoint(row)), many=many
        )

    return make


def _of_identity(values_of: Callable[[flow_pb2.Endpoint], Values], *, many: bool = False) -> _Make:
    """What depends on the identity that an event gave besides the owner of the address."""

    def make(tables: Surroundings, *_: object) -> Property:
        return TableProperty(
            tables,
            _read_endpoint_and_identity,
            lambda key: values_of(endpoint_message(tables, *split_pair(key))),
            many=many,
        )

    return make


def _pod(endpoint: Endpoint) -> Values:
    return (f"{endpoint.namespace}/{endpoint.pod_name}",) if endpoint.pod_name else ()


def _namespace(endpoint: Endpoint) -> Values:
    return (endpoint.namespace,) if endpoint.namespace else ()


def _workloads(endpoint: Endpoint) -> Values:
    return tuple(dict.fromkeys(f"{kind}/{name}" for name, kind in endpoint.workloads))


def _labels(endpoint: flow_pb2.Endpoint) -> Values:
    return tuple(dict.fromkeys(endpoint.labels))


def _cluster(endpoint: flow_pb2.Endpoint) -> Values:
    return (endpoint.cluster_name,) if endpoint.cluster_name else ()


def label_property(tables: Surroundings, key: str) -> Property:
    """The value of the label with a key, which may have its source in front."""

    def value(endpoint: flow_pb2.Endpoint) -> Values:
        for label in endpoint.labels:
            name, _, text = label.partition("=")
            if key in (name, name.partition(":")[2]):
                return (text,) if text else ()
        return ()

    return _of_identity(value)(tables, _no_record, "")


def _no_record(_: int) -> None:
    return None


def _interface(tables: Surroundings, *_: object) -> Property:
    def name(row: int) -> Values:
        interface = tables.interfaces.value(row)
        return (interface.name or str(interface.index),) if row else ()

    return TableProperty(tables, _read_interface, name)


def _fqdn(surroundings: Surroundings, *_: object) -> Property:
    endpoints = surroundings.endpoints

    def other_end(rows: Rows, end: End) -> NDArray[np.int64]:
        # Each end's names are those by which the other one knows it.
        other = "destination" if end == "source" else "source"
        ids: NDArray[np.int64] = endpoints.ids[rows[f"{other}_endpoint"]].astype(np.int64)
        return ids

    def names(address: Address, endpoint_id: int) -> Values:
        return tuple(dict.fromkeys(surroundings.names.dns(endpoint_id, address)))

    return AddressNameProperty(surroundings, other_end, names, many=True)


def _service(surroundings: Surroundings, *_: object) -> Property:
    def port(rows: Rows, end: End) -> NDArray[np.int64]:
        return rows[f"{end}_port"].astype(np.int64)

    def service(address: Address, number: int) -> Values:
        known = surroundings.names.service(address, number)
        return () if known is None else (f"{known.namespace}/{known.name}",)

    return AddressNameProperty(surroundings, port, service)


# What records of applications say.


def _is_application(rows: Rows) -> Mask:
    has: Mask = rows["message"] != 0
    has &= rows["event_type"] == MessageType.ACCESS_LOG
    return has


def _has_record(rows: Rows) -> Mask:
    has: Mask = rows["message"] != 0
    return has


def _path(flow: flow_pb2.Flow) -> str:
    try:
        return urlsplit(flow.l7.http.url).path
    except ValueError:
        return ""


def _from_record(value_of: Callable[[flow_pb2.Flow], str]) -> _Make:
    return lambda _surroundings, record_of, _: RecordProperty(record_of, _is_application, value_of)


def _node(_: Surroundings, record_of: RecordOf, node_name: str) -> Property:
    return RecordProperty(
        record_of,
        _has_record,
        lambda flow: flow.node_name or node_name,
        lambda: node_name,
    )


def _number(read: _Read, name: Callable[[int], str] = str, *, is_name: bool = False) -> _Make:
    return lambda *_: NumberProperty(read, name, is_name=is_name)


def _enum(column: str, items: Sequence[tuple[str, int]], flag: int = 0) -> _Make:
    return _number(_column(column, flag), _named(items), is_name=True)


_OF_AN_END: dict[int, _Make] = {
    flow_field_pb2.FLOW_FIELD_POD: _of_endpoint(_pod),
    flow_field_pb2.FLOW_FIELD_NAMESPACE: _of_endpoint(_namespace),
    flow_field_pb2.FLOW_FIELD_LABEL: _of_identity(_labels, many=True),
    flow_field_pb2.FLOW_FIELD_WORKLOAD: _of_endpoint(_workloads, many=True),
    flow_field_pb2.FLOW_FIELD_IDENTITY: _number(_read_identity),
    flow_field_pb2.FLOW_FIELD_CLUSTER: _of_identity(_cluster),
    flow_field_pb2.FLOW_FIELD_IP: lambda *_: AddressProperty(),
    flow_field_pb2.FLOW_FIELD_PORT: _number(_read_port),
    flow_field_pb2.FLOW_FIELD_FQDN: _fqdn,
    flow_field_pb2.FLOW_FIELD_SERVICE: _service,
}
_OF_THE_FLOW: dict[int, _Make] = {
    flow_field_pb2.FLOW_FIELD_PROTOCOL: _enum(
        "protocol", [(name, number) for number, name in _TRANSPORT_NAMES.items()], Flag.L4
    ),
    flow_field_pb2.FLOW_FIELD_VERDICT: _enum("verdict", flow_pb2.Verdict.items()),
    flow_field_pb2.FLOW_FIELD_DROP_REASON: _number(
        _read_drop_reason, drop_reason_name, is_name=True
    ),
    flow_field_pb2.FLOW_FIELD_DIRECTION: _enum("direction", flow_pb2.TrafficDirection.items()),
    flow_field_pb2.FLOW_FIELD_REPLY: _number(_read_reply, _reply_name),
    flow_field_pb2.FLOW_FIELD_INTERFACE: _interface,
    flow_field_pb2.FLOW_FIELD_OBSERVATION_POINT: _enum(
        "observation_point", flow_pb2.TraceObservationPoint.items()
    ),
    flow_field_pb2.FLOW_FIELD_EVENT_TYPE: _enum(
        "event_type", [(name, number) for number, name in _EVENT_TYPE_NAMES.items()]
    ),
    flow_field_pb2.FLOW_FIELD_TCP_FLAGS: _number(_read_flags, _flag_names),
    flow_field_pb2.FLOW_FIELD_IP_VERSION: _enum("ip_version", flow_pb2.IPVersion.items(), Flag.IP),
    flow_field_pb2.FLOW_FIELD_NODE: _node,
    flow_field_pb2.FLOW_FIELD_HTTP_METHOD: _from_record(lambda flow: flow.l7.http.method),
    flow_field_pb2.FLOW_FIELD_HTTP_PATH: _from_record(_path),
    flow_field_pb2.FLOW_FIELD_HTTP_STATUS: _from_record(
        lambda flow: str(flow.l7.http.code) if flow.l7.http.code else ""
    ),
    flow_field_pb2.FLOW_FIELD_DNS_QUERY: _from_record(lambda flow: flow.l7.dns.query),
}


def is_of_an_end(field: int) -> bool:
    """Whether a FlowField has a value for each end of a flow."""
    return field in _OF_AN_END


def flow_property(
    field: int, name: str, tables: Surroundings, record_of: RecordOf, node_name: str
) -> Property:
    """The property behind a FlowField, for one query.

    Args:
        field: number of the FlowField.
        name: of the request's field that has it.
        tables: what rows refer to.
        record_of: gives messages of rows.
        node_name: of this node, as cluster/node.

    Raises:
        InvalidRequest: there is no such field.
    """
    make = _OF_AN_END.get(field) or _OF_THE_FLOW.get(field)
    if make is None:
        raise InvalidRequest(name, field, "is no FlowField that this server knows")
    return make(tables, record_of, node_name)
