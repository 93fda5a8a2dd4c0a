"""The printed Table 2 with chance, and with the numbers of images that it allows."""

from __future__ import annotations

import numpy as np
import pytest

from mammogan.paper import printed, table2


def test_row_2_follows_from_row_1() -> None:
    np.testing.assert_array_equal(np.round(table2.implied_neighbors(2000), 2), printed.TABLE2_NEIGHBORS)
    low, high = table2.compatible_totals()
    assert low < 2000 < high
    assert not np.array_equal(np.round(table2.implied_neighbors(high + 2), 2), printed.TABLE2_NEIGHBORS)


def test_table_2_and_chance() -> None:
    table = table2.chance_information(n=1000, draws=120).set_index("moment")
    assert table["sd"].iloc[0] == pytest.approx(0.0111, rel=0.25)
    assert table["neighbors_chance"].iloc[0] == pytest.approx(6, abs=0.03)
    assert (table.loc[["M2", "M3"], "p"] < 0.05).all() and (table.loc[["M4", "M5"], "p"] > 0.05).all()


def test_totals_agree_with_the_inverse_digamma() -> None:
    entries = table2.totals_by_entry()
    # What fits all five fits each: one rule of rounding for both.
    assert table2.compatible_totals() == (entries["low"].max(), entries["high"].min())
    row = entries.set_index("moment").loc["M2"]
    for total, fits in ((row["low"], True), (row["low"] - 200, False)):
        m = table2.implied_neighbors(int(total))[1]
        assert (abs(m - printed.TABLE2_NEIGHBORS[1]) < 0.0051) == fits
