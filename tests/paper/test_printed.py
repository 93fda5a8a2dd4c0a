"""Printed tables against what follows from them."""

from __future__ import annotations

import numpy as np

from mammogan.paper import printed, table1, table2


def test_published_tables() -> None:
    assert (table1.excess_over_diagonal() > 0).all()
    np.testing.assert_array_equal(np.round(table2.implied_neighbors(2000), 2), printed.TABLE2_NEIGHBORS)
    low, high = table2.compatible_totals()
    assert low < 2000 < high
    assert not np.array_equal(np.round(table2.implied_neighbors(high + 2), 2), printed.TABLE2_NEIGHBORS)
