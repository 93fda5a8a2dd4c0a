"""Contradictions of the paper, and what follows from its numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mammogan.paper import consistency


def test_contradictions_exceed_what_rounding_explains() -> None:
    cases = {case.key: case for case in consistency.contradictions()}
    assert len(cases) == 14
    agreeing = {key for key, case in cases.items() if abs(case.printed - case.computed) <= case.tolerance}
    assert agreeing == {"score_high", "neighbors_high", "coverage"}
    # The paper's test is Kruskal-Wallis, which means and deviations do not determine; Table 1 is no score on bins.
    assert not {"stratum", "above"} & cases.keys()
    assert (cases["fifth_moment"].printed, cases["fifth_moment"].computed) == (stats.expon.stats(moments="s"), 44)
    assert cases["equal"].how == "equal differences have equal P; .623 against .624 and .713 against .714"


def test_consequences() -> None:
    values = {row.key: row.value for row in consistency.consequences()}
    right = np.arange(1331)
    tail = np.minimum(stats.binom.cdf(right, 1330, 0.5), stats.binom.sf(right - 1, 1330, 0.5))
    power = stats.binom.pmf(right, 1330, 0.52)[2 * tail <= 0.05].sum()
    assert values["missed"] == pytest.approx(100 * (1 - power), abs=1e-9)
    assert values["uncurated"] == pytest.approx(100 * (0.136 + 0.864 * 652 / 1330))
    assert values["resolution"] == 1.25
    assert values["above"] == 10
