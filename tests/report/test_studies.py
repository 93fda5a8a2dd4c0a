"""Works next to the paper: table, forest plot, and what a choice of two would be worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mammogan.report import studies
from mammogan.report.results import Results


def test_works_have_exact_intervals() -> None:
    table = studies.works().set_index("Work")
    low, high = stats.binomtest(1781, 3000).proportion_ci(method="exact")
    assert f"1781 of 3000 right, 59.4 % ({100 * low:.1f} to {100 * high:.1f} %)" in table.loc["Park 2021", "Result"]
    assert not table["Result"].str.count(" right, ").gt(1).any()  # groups are in the figure alone
    assert (table["What could be read"] != "").all()


def test_what_the_page_quotes(tmp_path: Path) -> None:
    results = Results(tmp_path, "readers")
    studies.other_studies(results)
    values = {key: entry["value"] for key, entry in results.entries.items()}
    assert values["since.answers"] == 1330 + 3000
    # An observer of this sensitivity judges the difference of two images, each with noise of its own.
    d = 2 * stats.norm.ppf(1781 / 3000)
    noise = np.random.default_rng(0).normal(0, 1, (400_000, 2))
    assert values["since.paired"] == pytest.approx(100 * float((d + noise[:, 0] > noise[:, 1]).mean()), abs=0.3)
    assert (tmp_path / "figures" / "since.png").is_file() and (tmp_path / "data" / "works.csv").is_file()
    figure = studies.forest(studies.rates())
    assert len(figure.axes[0].get_yticklabels()) == len(studies.rates())
