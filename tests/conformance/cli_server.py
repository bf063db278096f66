"""The server that a case of cli/cases.jsonl describes: real gRPC on a unix socket, answers as told.

Runs in a process of its own, which `cli_worker` forks, because gRPC cannot be used on both sides of
a fork. What it was asked is written to a file when it is told to end.
"""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_health.v1 import health_pb2

from palomar_proto.observer import observer_pb2
from palomar_proto.peer import peer_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.protobuf.message import Message

_STREAMS = {"GetFlows", "GetAgentEvents", "GetDebugEvents", "Notify"}
_CALLS = {
    "/grpc.health.v1.Health/Check": (
        "Health/Check",
        health_pb2.HealthCheckRequest,
        health_pb2.HealthCheckResponse,
    ),
    "/peer.Peer/Notify": ("Peer/Notify", peer_pb2.NotifyRequest, peer_pb2.ChangeNotification),
    **{
        f"/observer.Observer/{name}": (
            name,
            getattr(observer_pb2, f"{name}Request"),
            getattr(observer_pb2, f"{name}Response"),
        )
        for name in (
            "GetFlows",
            "GetAgentEvents",
            "GetDebugEvents",
            "GetNodes",
            "GetNamespaces",
            "ServerStatus",
        )
    },
}
"""By full method name: what a case calls it, the request and the response."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def to_message(content: dict[str, Any], message: Message) -> Message:
    """Read JSON in which the paths of a field mask are a list, as the corpus writes them."""
    content = dict(content)
    mask = content.pop("field_mask", None)
    ParseDict(content, message)
    if mask is not None:
        message.field_mask.paths.extend(mask.get("paths", ()))  # type: ignore[attr-defined]  # of GetFlowsRequest
    return message


def from_message(message: Message) -> dict[str, Any]:
    """Write JSON in the same way."""
    copy = type(message)()
    copy.CopyFrom(message)
    paths: list[str] = []
    masked = "field_mask" in copy.DESCRIPTOR.fields_by_name and copy.HasField("field_mask")
    if masked:
        paths = list(copy.field_mask.paths)  # type: ignore[attr-defined]  # of GetFlowsRequest
        copy.ClearField("field_mask")
    content = MessageToDict(copy, preserving_proto_field_name=True)
    if masked:
        content["field_mask"] = {"paths": paths}
    return content


def canonical_request(entry: dict[str, Any]) -> dict[str, Any]:
    """One entry of a case's requests, written as `serve` writes what it got."""
    for name, request, _ in _CALLS.values():
        if name == entry["method"]:
            content = from_message(to_message(entry["request"], request()))
            return {"method": name, "request": content}
    raise ValueError(f"the case has a request to an unknown method: {entry['method']}")


class _Script(grpc.GenericRpcHandler):
    def __init__(self, script: dict[str, Any]) -> None:
        self._script = script
        self.asked: list[dict[str, Any]] = []

    def service(self, details: Any) -> Any:
        if details.method not in _CALLS:
            return None
        name, request, _ = _CALLS[details.method]
        rpc = name.rpartition("/")[2]
        if rpc == "Check" and self._script["health"] == "UNIMPLEMENTED":
            rpc = ""
        streams = rpc in _STREAMS
        make = (
            grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        )

        def answers(asked: Message, context: Any) -> Iterator[bytes]:
            self.asked.append({"method": name, "request": from_message(asked)})
            return self._answers(details.method, rpc, context)

        def answer(asked: Message, context: Any) -> bytes:
            return next(answers(asked, context), b"")

        return make(
            answers if streams else answer,
            request_deserializer=request.FromString,
            response_serializer=bytes,
        )

    def _answers(self, method: str, rpc: str, context: Any) -> Iterator[bytes]:
        headers = self._script.get("headers") or {}
        context.send_initial_metadata(tuple(headers.items()))
        response = _CALLS[method][2]
        if not rpc:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown service grpc.health.v1.Health")
        if rpc == "Check":
            yield response(status=self._script["health"]).SerializeToString()
            return
        said = self._script["rpc"].get(rpc)
        if said is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"method {rpc} not implemented")
        for content in said.get("responses", ()):
            yield to_message(content, response()).SerializeToString()
        error = said.get("error")
        if error:
            context.abort(_CODES[error["code"]], error["message"])


def serve(script: dict[str, Any], socket: str, asked: Path, ready: int) -> None:
    """Serve until SIGTERM, then write what was asked.

    Args:
        script: The `server` of a case.
        socket: Path of the unix socket.
        asked: File for the requests, as a JSON list.
        ready: A byte is written to this descriptor when clients can connect.
    """
    # Before gRPC starts its threads: one that does not block the signal would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    handler = _Script(script)
    server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    os.write(ready, b"r")
    signal.sigwait({signal.SIGTERM})
    asked.write_text(json.dumps(handler.asked), encoding="utf-8")
    server.stop(None)
