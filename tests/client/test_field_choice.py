import pytest

from palomar.errors import InvalidRequest
from palomar.field_choice import field_paths
from palomar.printers import make_printer


def chosen(output: str = "compact", *, local: bool = False, **options: object) -> list[str]:
    return field_paths({"output": output, **options}, make_printer(output), local=local)


def test_given_fields_are_taken_for_json() -> None:
    assert chosen("json", field_mask="uuid,source.pod_name,") == ["uuid", "source.pod_name"]


def test_json_has_all_fields_by_default() -> None:
    assert chosen("jsonpb", field_mask=None) == []


def test_human_formats_ask_for_what_they_show() -> None:
    paths = chosen("compact", field_mask="")
    assert "time" in paths
    assert "node_labels" not in paths


def test_default_fields_can_be_turned_off() -> None:
    assert chosen("compact", use_default_field_masks=False) == []


def test_on_this_machine_whole_flows_are_cheaper() -> None:
    assert chosen("compact", local=True) == []
    assert chosen("json", local=True, field_mask="uuid") == ["uuid"]


def test_explaining_takes_all_fields() -> None:
    assert chosen("compact", explain=True) == []


@pytest.mark.parametrize("path", ["nope", "source.nope", "uuid.x", "source_names.x", "l4..TCP"])
def test_fields_that_no_flow_has_are_refused(path: str) -> None:
    with pytest.raises(InvalidRequest, match="names no field of a flow"):
        chosen("json", field_mask=path)
