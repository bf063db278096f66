"""Which fields of flows `palomar observe` asks for: those of `--field-mask`, else what it prints.

In: flags and the printer. Out: the paths of the request's field mask, none for all fields. Over a
network a server that sends less has less to carry. On a unix socket nothing has to be carried, and
palomard, which keeps flows ready in their whole, would spend up to ten times the CPU on parts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from palomar.errors import InvalidRequest
from palomar_proto.flow.flow_pb2 import Flow

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from palomar.printers import Printer


def field_paths(options: Mapping[str, Any], printer: "Printer", *, local: bool) -> list[str]:
    """Choose the fields.

    Args:
        options: Values of the flags by parameter name.
        printer: Knows which fields it shows.
        local: Whether whole flows cost nothing to carry.

    Raises:
        InvalidRequest: No flow has such a field.
    """
    asked = [path for path in (options.get("field_mask") or "").split(",") if path]
    for path in asked:
        check_path(path)
    if asked or local or not options.get("use_default_field_masks", True):
        return asked
    if options.get("explain"):
        return []  # to explain a drop takes all that is known of it
    return printer.field_paths()


def check_path(path: str) -> None:
    """Refuse a path that no flow has.

    Raises:
        InvalidRequest: At which of its parts the path leaves the message.
    """
    message: Descriptor | None = Flow.DESCRIPTOR
    for part in path.split("."):
        field = None if message is None else message.fields_by_name.get(part)
        if field is None:
            known = ", ".join(one.name for one in message.fields) if message else ""
            where = f"; there are {known}" if known else ", since what is before it has none"
            raise InvalidRequest(f"field mask {path!r} names no field of a flow: {part!r}{where}")
        message = None if field.is_repeated else field.message_type
