"""Simulated readers: skill, learning and resignation as stated, and studies that are functions of their number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import simulated_readers

from mammogan.paper import table3
from mammogan.stats import rank_tests


def test_simulated_readers() -> None:
    rng = np.random.default_rng(0)
    answers, image = simulated_readers.Readers(rate=0.7, learning=0.3, readers=4000).draw(rng)
    assert answers.mean() == pytest.approx(0.66, abs=0.03)
    assert answers[:, -1].mean() - answers[:, 0].mean() > 0.3
    assert image.max() < 60
    resigned, _ = simulated_readers.Readers(rate=0.9, gave_up=1.0, readers=4000).draw(rng)
    assert resigned[:, 0].mean() == pytest.approx(0.9, abs=0.02)
    assert resigned[:, -1].mean() == pytest.approx(0.5, abs=0.03)
    spread, _ = simulated_readers.Readers(ability=1.0, readers=4000).draw(rng)
    assert spread.sum(1).var() > 1.5 * 2.5
    # The shortcut in `classical` is the test of the analysis.
    small, _ = simulated_readers.Readers(readers=40, questions=4).draw(rng)
    counts = small.sum(0)
    first, second = np.triu_indices(4, 1)
    closed = table3.conover_p(np.abs(counts[first] - counts[second]), counts, 40)
    np.testing.assert_allclose(rank_tests.conover(list(small.T))[first, second], closed, rtol=1e-9)


@pytest.mark.slow
def test_simulated_studies_find_what_is_there() -> None:
    chosen = {name: simulated_readers.SCENARIOS[name] for name in ("all guess", "both differ")}
    table = simulated_readers.simulate(50, scenarios=chosen)
    for test in ("beta-binomial, readers differ", "Tarone, readers differ", "Tarone, images differ"):
        assert table.loc[test, "both differ"] > 0.8 > 0.2 > table.loc[test, "all guess"]
    assert table.loc["coverage: interval over readers and images"].min() >= 0.88
    assert table.loc["coverage: exact interval", "both differ"] < 0.85
    pd.testing.assert_frame_equal(table, simulated_readers.simulate(50, scenarios=chosen))


def test_simulated_studies_do_not_depend_on_how_they_are_cut() -> None:
    name, readers = "readers learn", simulated_readers.SCENARIOS["readers learn"]
    whole = simulated_readers.outcomes(name, readers, range(4))
    parts = [simulated_readers.outcomes(name, readers, numbers) for numbers in (range(2), range(2, 4))]
    pd.testing.assert_frame_equal(whole, pd.concat(parts))
    other = simulated_readers.outcomes(name, readers, range(4), seed=1)
    assert not whole.equals(other)
    mixed = simulated_readers.outcomes(name, readers, range(2), analysis=simulated_readers.mixed)
    assert list(mixed.columns) == [
        "coverage: mixed model, averaged",
        "mixed model, readers differ",
        "mixed model, images differ",
        "mixed model, slope over questions",
    ]
