"""Statistics of labels against the paper's counts, statsmodels and simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from mammogan.artifacts import labels
from mammogan.errors import TableError


def write_labels(path: Path, observer: str, kinds_of: dict[int, str]) -> Path:
    rows = [f"{observer},{n},{kinds},1.5,2026-01-01T00:00:00Z\n" for n, kinds in kinds_of.items()]
    path.write_text("observer,number,artifacts,seconds,time\n" + "".join(rows))
    return path


def test_rates_against_the_papers_own_counts(tmp_path: Path) -> None:
    key = pd.DataFrame({"number": range(1, 2401), "kind": ["synthetic"] * 2000 + ["real"] * 400})
    key["view"] = ["CC"] * 1000 + ["MLO"] * 1000 + ["CC"] * 200 + ["MLO"] * 200
    kinds_of = dict.fromkeys(range(1, 2401), "")
    kinds_of |= dict.fromkeys(range(1, 65), "outline") | dict.fromkeys(range(1001, 1137), "vessel;grid")
    kinds_of |= dict.fromkeys(range(2001, 2005), "outline")
    table = labels.rates(labels.read_labels([write_labels(tmp_path / "a.csv", "A", kinds_of)], 2400), key)
    row = table.query("artifact == 'any' and view == 'MLO' and kind == 'synthetic'").iloc[0]
    assert (row.found, row.shown) == (136, 1000)
    assert (100 * row.low, 100 * row.high) == pytest.approx((11.5, 15.9), abs=0.06)
    assert row.excess == pytest.approx(0.136)  # no false alarm in MLO controls
    cc = table.query("artifact == 'any' and view == 'CC' and kind == 'synthetic'").iloc[0]
    assert cc.excess == pytest.approx((0.064 - 0.02) / 0.98)
    assert cc.excess_low < cc.excess < cc.excess_high
    compared = labels.views_compared(table).query("artifact == 'any'").iloc[0]
    assert compared.ratio == pytest.approx(2.125)
    assert compared.p == pytest.approx(9e-8, rel=0.1)


def test_kappa_and_its_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(400) < 0.3
    answers = {name: truth ^ (rng.random(400) < 0.08) for name in "AB"}
    files = [
        write_labels(tmp_path / f"{name}.csv", name, {k + 1: "grid" if a else "" for k, a in enumerate(answer)})
        for name, answer in answers.items()
    ]
    row = labels.agreement(labels.read_labels(files)).query("artifact == 'any'").iloc[0]
    counts = pd.crosstab(answers["A"], answers["B"]).to_numpy()
    oracle = cohens_kappa(counts)
    assert row.kappa == pytest.approx(oracle.kappa)
    assert row.low == pytest.approx(oracle.kappa_low, abs=0.02)
    assert row.high == pytest.approx(oracle.kappa_upp, abs=0.02)
    assert row.images == 400
    nobody = labels.agreement(labels.read_labels(files)).query("artifact == 'vessel'").iloc[0]
    assert np.isnan(nobody.kappa)


def test_excess_rate_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    p, f, inside = 0.10, 0.05, 0
    for _ in range(200):
        hits = rng.binomial(1000, p + (1 - p) * f)
        rate = labels.excess_rate(hits, 1000, rng.binomial(200, f), 200)
        inside += rate.low <= p <= rate.high
    assert stats.binomtest(inside, 200, 0.95).pvalue > 1e-3


def test_none_is_no_artifact(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("observer,number,artifacts\nA,1,none\nA,2,\nA,3,grid\n")
    assert labels.read_labels([path], 3)["any"].tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "no column 'observer'"),
        ("observer,number,artifacts\nA,1,nose\n", "unknown class 'nose'"),
        ("observer,number,artifacts\nA,99,\n", "an image that is not in this inspection"),
        ("observer,number,artifacts\n", "There are no labels"),
    ],
)
def test_foreign_labels_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=sentence):
        labels.read_labels([path], 10)
