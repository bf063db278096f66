import subprocess
import sys

import pytest

from palomar import version
from palomar.version import API_VERSION, HUBBLE_VERSION, __version__


def test_versions_are_texts() -> None:
    assert __version__[0].isdigit()
    assert API_VERSION == "1.19"
    assert HUBBLE_VERSION.startswith(f"{API_VERSION}.")


def test_there_are_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = version.nothing


def test_metadata_is_not_read_before_somebody_asks() -> None:
    asked = "import sys, palomar.version; print('importlib.metadata' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout == "False\n"
