import subprocess
import sys

import pytest

import palomar


def test_all_is_sorted_and_is_what_can_be_loaded() -> None:
    assert palomar.__all__ == sorted(palomar._HOMES)
    assert [getattr(palomar, name) for name in palomar.__all__]


def test_dir_shows_names_before_they_are_loaded() -> None:
    assert set(palomar.__all__) <= set(dir(palomar))


def test_exports_are_the_objects_of_their_modules() -> None:
    for name, home in palomar._HOMES.items():
        assert getattr(palomar, name) is getattr(sys.modules[home], name)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        palomar.nope  # noqa: B018 - the access is the point


@pytest.mark.parametrize("module", ["palomar", "palomar.cli"])
def test_import_does_not_load_grpc_or_protobuf(module: str) -> None:
    loaded = (
        f"import sys, {module}; "
        "print(*(heavy for heavy in ('grpc', 'google.protobuf') if heavy in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=30
    )
    assert run.stdout.strip() == ""
