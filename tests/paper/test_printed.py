"""Rows of the printed Table 4, and the sums that they allow."""

from __future__ import annotations

import numpy as np

from mammogan.paper import printed


def test_totals_of_table_4() -> None:
    totals = {group.name: list(group.possible_totals) for group in printed.TABLE4}
    assert totals["All participants"] == [654, 655]
    assert totals["Radiologists"] == [312]
    assert totals["Repeated efforts"] == [76]


def test_every_row_but_the_first_has_one_sum_and_one_sum_of_squares() -> None:
    for row in printed.TABLE4[1:]:
        n, total, squares = printed.group(row.name).sums
        assert n == row.attempts
        assert abs(total / n / 10 - row.rate) <= 0.0005 + 1e-9
        assert abs(np.sqrt(squares / n - (total / n) ** 2) / 10 - row.deviation) <= 0.0005 + 1e-9
    assert printed.Sums(5, 20, 90) - printed.Sums(2, 6, 18) == printed.Sums(3, 14, 72)
