from __future__ import annotations

from palomar_server.decode.malformed import Malformed


def test_every_reason_fits_the_column_and_zero_is_well_formed() -> None:
    assert Malformed(0) is Malformed.NONE
    assert all(0 <= reason < 256 for reason in Malformed)
    assert len({reason.value for reason in Malformed}) == len(Malformed)
