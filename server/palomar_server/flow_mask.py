"""What a field mask leaves of a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask

from palomar_proto.flow import flow_pb2

if TYPE_CHECKING:
    from collections.abc import Collection

    from google.protobuf.message import Message

    _Tree: TypeAlias = "dict[str, _Tree]"


class FlowMask:
    """The fields of a flow that a request wants.

    Messages on the way to a field are there even where the flow lacks them, as Hubble has it: with
    a mask of `source.pod_name` every flow has a `source`.

    Args:
        mask: valid for flow.Flow.
    """

    def __init__(self, mask: FieldMask) -> None:
        self._tree: _Tree = {}
        """By field name what is wanted of it; nothing in particular means all."""
        wholes: set[str] = set()
        # By name among those of a level, so that equal masks leave the same, in any process.
        for path in sorted(set(mask.paths), key=lambda path: (path.count("."), path)):
            names = path.split(".")
            above = {".".join(names[:count]) for count in range(1, len(names))}
            if above & wholes:
                continue
            wholes.add(path)
            node = self._tree
            for name in names:
                node = node.setdefault(name, {})
        self.paths = tuple(sorted(wholes))
        """Equal for masks that leave the same."""

    def wants(self, path: str) -> bool:
        """Whether a field is wanted: itself, or all of what it is part of."""
        node = self._tree
        for name in path.split("."):
            if name not in node:
                return False
            if not (node := node[name]):
                return True
        return False

    def wants_some_of(self, fields: Collection[str]) -> bool:
        """Whether anything of some fields of a flow is wanted."""
        return any(name in fields for name in self._tree)

    def among(self, fields: Collection[str]) -> FlowMask:
        """What of this mask concerns some fields of a flow."""
        paths = [path for path in self.paths if path.partition(".")[0] in fields]
        return FlowMask(FieldMask(paths=paths))

    def of(self, flow: flow_pb2.Flow) -> flow_pb2.Flow:
        """A flow with only the fields that are wanted."""
        masked = flow_pb2.Flow()
        _copy(self._tree, flow, masked)
        return masked


def _copy(tree: _Tree, source: Message, target: Message) -> None:
    fields = source.DESCRIPTOR.fields_by_name
    there = {field.name for field, _ in source.ListFields()}
    # Of fields that exclude each other the one that is there comes last, and stays.
    for name in sorted(tree, key=there.__contains__):
        if tree[name]:
            inner = getattr(target, name)
            inner.SetInParent()
            _copy(tree[name], getattr(source, name), inner)
        elif name not in there:
            continue
        elif fields[name].is_repeated:
            getattr(target, name).MergeFrom(getattr(source, name))
        elif fields[name].message_type is not None:
            getattr(target, name).CopyFrom(getattr(source, name))
        else:
            setattr(target, name, getattr(source, name))
