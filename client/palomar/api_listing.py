"""One run of `palomar reflect`: what a server offers, printed.

Called by `commands.reflect`. By default the methods of each service; in Hubble's dialect the files
that define them, as its command line dumps them.
"""

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from palomar.errors import Unsupported
from palomar.output import standard_output
from palomar.printers.escape import visible
from palomar.reflection import V1, V1_ALPHA, Reflection
from palomar.server_failure import hubble_wording

if TYPE_CHECKING:
    from palomar.client import Client
    from palomar.commands.invocation import Invocation

# These say nothing about the server.
_SKIPPED = frozenset({V1, V1_ALPHA, "grpc.health.v1.Health"})


def show_api(invocation: "Invocation", *, as_json: bool) -> None:
    """Ask for the services and print them.

    Args:
        invocation: Makes the client.
        as_json: Whether to print the files that define them, one a line, instead of the methods.

    Raises:
        Unsupported: The server does not tell.
        PalomarError: See `palomar.errors`.
    """
    output = standard_output()
    with invocation.client() as client, hubble_wording(strict=invocation.strict):
        reflection, services = _begin(client, strict=invocation.strict)
        with reflection:
            given: set[str] = set()
            for service in services:
                for file in reflection.files(service):
                    if as_json and file.name not in given:
                        given.add(file.name)
                        output.write(f"{file_json(file)}\n")
                    elif not as_json:
                        # The first one defines the service; the others are what it imports.
                        output.write(service_text(file, service))
                        break
    output.flush()


def service_text(file: FileDescriptorProto, service: str) -> str:
    """Lay out a service's methods in the manner of the file that defines it."""
    lines = [visible(service)]
    for described in file.service:
        if f"{file.package}.{described.name}".lstrip(".") == service:
            lines += [
                f"  {visible(method.name)}({_stream(method.client_streaming)}"
                f"{visible(method.input_type.lstrip('.'))}) returns "
                f"({_stream(method.server_streaming)}{visible(method.output_type.lstrip('.'))})"
                for method in described.method
            ]
    return "".join(f"{line}\n" for line in lines)


def file_json(file: FileDescriptorProto) -> str:
    """Write a file as one line of JSON, as Go does: what is set, with enums as numbers."""
    return json.dumps(_plain(file), separators=(",", ":"))


def _begin(client: "Client", *, strict: bool) -> tuple[Reflection, list[str]]:
    """Start the conversation in the version that the server has."""
    for service in (V1_ALPHA,) if strict else (V1, V1_ALPHA):
        # Reflection is another service on the connection that the client has.
        reflection = Reflection(client._channel, client._target, service, client._metadata())  # noqa: SLF001 - see above
        try:
            names = reflection.services()
        except Unsupported:
            reflection.close()
            if service == V1_ALPHA:
                raise
        else:
            return reflection, [name for name in names if name not in _SKIPPED]
    raise AssertionError  # the last one returned or raised


def _stream(streaming: bool) -> str:  # noqa: FBT001 - as the descriptor says it
    return "stream " if streaming else ""


def _plain(message: Message) -> dict[str, Any]:
    """A message as Go's encoding/json sees it: fields in the order of the .proto file."""
    members = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            if len(value):
                members[field.name] = [_plain_value(one) for one in value]
        elif message.HasField(field.name):
            members[field.name] = _plain_value(value)
    return members


def _plain_value(value: Any) -> Any:
    if isinstance(value, Message):
        return _plain(value)
    return b64encode(value).decode() if isinstance(value, bytes) else value
