import numpy as np

from palomar_server.hooks import RowErrors


def test_errors_for_rows_say_for_how_many() -> None:
    error = RowErrors(np.array([True, False, True]), 2)
    assert str(error) == "failed for 2 of 3 rows"
