"""YAML files that people write: the settings file and the inventory.

In: a path. Out: the mapping it holds, or one line that says where it is wrong. Called by `settings`
and `inventory`, which check what the mapping means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from yaml.nodes import MappingNode

try:
    from yaml import CSafeLoader as _SafeLoader  # Ten times as fast, where libyaml is there.
except ImportError:
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]  # the same interface


class YamlFileError(ValueError):
    """A YAML file cannot be read; the text names the file, and the line if there is one."""


class _UniqueKeyLoader(_SafeLoader):
    """Safe YAML in which no key may stand twice: of two values, one would be lost silently."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 -- PyYAML's own signature
        seen: dict[object, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.MarkedYAMLError(
                    problem="a key must be a plain value", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} stands here again, after line {seen[key]}",
                    problem_mark=key_node.start_mark,
                )
            seen[key] = line
        return super().construct_mapping(node, deep=deep)


def read_yaml_mapping(path: Path, *, max_bytes: int) -> dict[str, Any]:
    """The mapping in a YAML file; empty for an empty file.

    Args:
        path: the file.
        max_bytes: how long it may be.

    Raises:
        YamlFileError: it cannot be read, is too long, is not YAML, or holds something else than a
            mapping with text keys.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise YamlFileError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > max_bytes:
        raise YamlFileError(f"{path}: longer than {max_bytes:,} bytes")
    try:
        values = yaml.load(content, _UniqueKeyLoader)  # noqa: S506 -- a SafeLoader with one more rule
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlFileError(f"{path}{place}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Bytes that are no text, impossible dates, nesting without end.
        reason = str(error).partition("\n")[0]
        raise YamlFileError(f"{path}: {reason}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise YamlFileError(f"{path}: holds {_kind(values)}, must hold a mapping (name: value)")
    for key in values:
        if not isinstance(key, str):
            raise YamlFileError(f"{path}: the name {key!r} is {_kind(key)}, must be text")
    return values


def _kind(value: object) -> str:
    return f"a {'list' if isinstance(value, list) else type(value).__name__}"
