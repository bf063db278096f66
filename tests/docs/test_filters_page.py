"""docs/filters.md against the filters there are."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf import json_format

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter import cel, compile_filter, fqdn, label_selector, pattern
from palomar_proto.observer import observer_pb2

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_page_has_every_field() -> None:
    fields = {field.name for field in flow_pb2.FlowFilter.DESCRIPTOR.fields}
    told = {name for name in fields if f"`{name}`" in PAGE}
    twins = {f"destination_{name.removeprefix('source_')}" for name in told}
    assert fields - told - twins == {"experimental"}
    assert "experimental" in PAGE


def test_python_example_runs() -> None:
    (example,) = blocks("python")
    exec(compile(example, "docs/filters.md", "exec"), {})  # noqa: S102 - our own page


def test_json_examples_are_filters() -> None:
    (expression,) = blocks("json")
    compile_filter(json_format.Parse(expression, flow_pb2.FlowFilter()))
    (request,) = re.findall(r"-d '(.*?)'", PAGE, re.DOTALL)
    parsed = json_format.Parse(request, observer_pb2.GetFlowsRequest())
    for flow_filter in (*parsed.whitelist, *parsed.blacklist):
        compile_filter(flow_filter)


def test_limits_are_those_of_the_code() -> None:
    limits = PAGE.partition("## Limits")[2]
    for number in (
        pattern.PATTERN_BYTES_MAX,
        pattern.PATTERNS_MAX,
        fqdn.PATTERN_CHARACTERS_MAX,
        label_selector.SELECTOR_CHARACTERS_MAX,
        cel.EXPRESSION_CHARACTERS_MAX,
        cel.EXPRESSIONS_MAX,
    ):
        assert f"{number:,}" in limits
