"""Definitions of the printed Table 1, against analytic information and the data-processing inequality itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammogan.errors import ParameterError
from mammogan.metrics.information import MAXIMUM
from mammogan.paper import printed, table1
from mammogan.paper.table1 import (
    BOUND,
    CORRELATION,
    definitions,
    information_of_shift,
    shift_of_information,
    shifts_of_table2,
    simulate,
    summary,
)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return simulate(n=300, scenarios=6)


@given(st.integers(0, 10_000), st.floats(0.1, 3))
@settings(max_examples=20, deadline=None)
def test_no_score_on_common_bins_breaks_data_processing(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) * [1, 2] + [shift, 0]
    both = definitions(a, b, False)
    assert set(both) == set(BOUND)
    single = [definitions(a[:, [k, k]], b[:, [k, k]], True) for k in (0, 1)]
    for name in BOUND:
        if "bins" in name:
            assert both[name] <= min(one[name] for one in single) + 1e-12


def test_only_definitions_that_are_free_give_the_printed_pattern(table: pd.DataFrame) -> None:
    rows = summary(table).set_index("definition")
    assert (table1.excess_over_diagonal() > 0).all()
    for name, bound in BOUND.items():
        if "bins" in name:
            assert bound and rows.loc[name, "most_above"] == 0
    assert rows.loc["1 - sqrt(JSD), kernels", "most_above"] >= 3
    # Identical sets do not score 1, by any definition that is estimated from a sample.
    assert (rows["ceiling_low"] < 1).all()
    assert rows.loc["NMI of density pictures", "ceiling_high"] < 0.95
    with pytest.raises(ParameterError, match="2 scenarios are too few"):
        simulate(scenarios=2)


def test_information_of_a_shift_has_its_limits() -> None:
    assert information_of_shift(0) == pytest.approx(0, abs=1e-9)
    assert information_of_shift(9) == pytest.approx(MAXIMUM, abs=1e-4)
    assert information_of_shift(0.1) == pytest.approx(0.1**2 / 8, rel=0.01)
    assert shift_of_information(information_of_shift(0.7)) == pytest.approx(0.7)
    assert shift_of_information(-0.01) == 0
    with pytest.raises(ParameterError, match="maximum is ln 2"):
        shift_of_information(0.7)


def test_shifts_of_table_2_have_its_information_and_the_direction_of_correlated_moments() -> None:
    def distance(shifts: np.ndarray) -> float:
        return float(shifts @ np.linalg.inv(CORRELATION) @ shifts)

    exact, near = shifts_of_table2(), shifts_of_table2(0.0111)
    information = [information_of_shift(abs(shift)) for shift in exact]
    np.testing.assert_allclose(information, printed.TABLE2_INFORMATION, atol=1e-6)
    # Moments that are correlated at .95 and more move the same way.
    assert (exact[2:4] < 0).all() or (exact[2:4] > 0).all()
    for flip in np.eye(5):
        assert distance(exact) <= distance(exact * (1 - 2 * flip)) + 1e-9
    assert len(set(np.sign(near[2:]))) == 1
    near_information = np.array([information_of_shift(abs(shift)) for shift in near])
    assert (np.abs(near_information - printed.TABLE2_INFORMATION) <= 1.96 * 0.0111 + 1e-6).all()
    assert distance(near) < distance(exact) / 4
