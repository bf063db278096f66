from __future__ import annotations

import errno

from palomar_bpf.errors import BpfError, CaptureError, LoadError


def test_bpf_error_is_an_os_error_with_errno() -> None:
    error = BpfError(errno.ENODEV, "bpf tcx link on interface 7: No such device")
    assert isinstance(error, OSError)
    assert isinstance(error, CaptureError)
    assert error.errno == errno.ENODEV
    assert "interface 7" in str(error)


def test_load_error_keeps_the_log_out_of_its_text() -> None:
    error = LoadError("the programs do not load", log="R2 min value is negative")
    assert str(error) == "the programs do not load"
    assert error.log == "R2 min value is negative"
    assert LoadError("no log").log == ""
