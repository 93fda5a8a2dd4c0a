"""Sentences of the chapter on future work follow from its tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mammogan.errors import InputError
from mammogan.report.future import REPORTS, kept_facts, kept_tables, said_of_gains, said_of_pairs
from mammogan.report.numbers import keep
from mammogan.report.results import Results
from mammogan.report.utility import by_classifier

AGREEMENT = pd.DataFrame(
    [
        ("area", "real", 40, 0.6, 0.45, 0.7),
        ("area", "real, shuffled", 40, 0.9, 0.8, 1.0),
        ("tissue profile", "real", 38, 0.8, 0.7, 0.9),
    ],
    columns=["measure", "set", "pairs", "AUC", "low", "high"],
)
GAINS = pd.DataFrame(
    [
        ("linear", 10, "real, augmented", 0.01, -0.02, 0.04),
        ("linear", 10, "real and synthetic, 1 each", -0.03, -0.05, -0.01),
        ("network", 10, "real and synthetic, 4 each", 0.02, 0.01, 0.03),
        ("network", 10, "20 real images", 0.1, 0.05, 0.2),
        ("network", 10, "40 real images", 0.15, 0.08, 0.2),
    ],
    columns=["classifier", "real", "arm", "gain", "low", "high"],
)


def test_a_sentence_says_which_measures_tell_true_pairs() -> None:
    said = said_of_pairs(AGREEMENT)
    assert "Of 40 real pairs of views, 1 of 2 measures" in said["real"]
    assert "the best is the tissue profile, with a chance of 0.80 (0.70 to 0.90)" in said["real"]
    assert said["synthetic"] == "No synthetic pairs were measured in this profile."


def test_a_sentence_counts_gains_and_losses() -> None:
    said = said_of_gains(GAINS)
    assert said["synthetic"].startswith("Real and synthetic images: gains in AUC from -0.03 to +0.02;")
    assert "above 0 in 1 and below 0 in 1 of 2 comparisons" in said["synthetic"]
    assert "from +0.10 to +0.15; the interval is above 0 in 2 and below 0 in 0 of 2" in said["more"]
    assert "above 0 in 0 and below 0 in 0 of 1" in said["classical"]
    assert said["alone"] == "Synthetic images alone: not measured in this profile."


def test_gains_have_a_column_for_each_classifier() -> None:
    wide = by_classifier(pd.concat([GAINS, GAINS[1:2].assign(classifier="network")]))
    assert wide.columns.tolist() == ["real", "arm", "linear", "network"]
    assert wide["arm"].tolist() == list(dict.fromkeys(GAINS["arm"]))
    assert wide.loc[1, ["linear", "network"]].tolist() == ["-0.030 (-0.050 to -0.010)"] * 2
    assert wide["linear"].isna().tolist() == [False, False, True, True, True]


def test_a_kept_report_says_its_label(tmp_path: Path) -> None:
    assert kept_facts(tmp_path) == {"label": "none", "seeds": "none"}
    results = Results(tmp_path / "utility", "utility")
    keep(results, {"label": "density C or D", "seeds": 5})
    results.save()
    assert kept_facts(tmp_path) == {"label": "density C or D", "seeds": 5}


def test_tables_of_earlier_reports_are_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no report below .*; write one with mammogan pairs"):
        kept_tables(tmp_path)
    scores = GAINS.rename(columns={"gain": "value"}).assign(score="AUC")
    alone = AGREEMENT.assign(set=AGREEMENT["set"].str.replace("real", "set"))
    for name, table in (("agreement", alone), ("scores", scores), ("gains", GAINS)):
        path = tmp_path / REPORTS[name][0] / "data" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    tables = kept_tables(tmp_path)
    assert said_of_pairs(tables["agreement"])["real"] == said_of_pairs(AGREEMENT)["real"]
    assert tables["gains"].equals(GAINS)
    (tmp_path / "utility" / "data" / "gains.csv").unlink()
    nothing = set(said_of_gains(kept_tables(tmp_path)["gains"]).values())
    assert len(nothing) == 4 and all(text.endswith(": not measured in this profile.") for text in nothing)
    both = pd.concat([alone, AGREEMENT])
    both.to_csv(tmp_path / "pairs" / "data" / "agreement.csv", index=False)
    assert "synthetic" in set(kept_tables(tmp_path)["agreement"]["set"])
