"""Report on pairs of views: planted pairs are found, sets that have none are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from breasts import SIZE, pairs_store
from small_stores import make_store

from mammogan.data.pairs import small_size
from mammogan.data.store import Store
from mammogan.errors import InputError, ParameterError
from mammogan.metrics.view_agreement import LARGEST
from mammogan.report import views
from mammogan.report.views import ViewPairs, compare_pairs


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Store]:
    folder = tmp_path_factory.mktemp("pairs")
    return {name: pairs_store(folder / name, 24, agree=name == "true") for name in ("true", "false")}


def test_planted_pairs_agree_and_others_do_not(stores: dict[str, Store], tmp_path: Path) -> None:
    rows = compare_pairs(stores["false"].path, tmp_path / "out", stores["true"].path, seed=1)
    table = rows.set_index(["measure", "set"])
    for measure in ("tissue profile", "nipple line", "area"):
        assert table.loc[measure, "real"]["low"] > 0.5
        for control in ("set", "real, shuffled"):
            assert table.loc[measure, control]["low"] < 0.5 < table.loc[measure, control]["high"]
    entries = json.loads((tmp_path / "out" / "results.json").read_text())
    assert entries["pairs.n.real"]["value"] == 24 and entries["pairs.size"]["value"] == "80 x 64"
    low, high = entries["pairs.less_real.tissue_profile"]["interval"]
    difference = table.loc["tissue profile", "set"]["AUC"] - table.loc["tissue profile", "real"]["AUC"]
    assert low < difference == entries["pairs.less_real.tissue_profile"]["value"] < high < 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "24 (set) and 24 (real)" in page and f"{table.loc['area', 'real']['AUC']:.3f}" in page
    facts = pd.read_csv(tmp_path / "out" / "data" / "pairs_real.csv")
    assert facts["cc"].tolist() == [f"{number}-CC" for number in range(24)]
    assert np.corrcoef(facts["area CC"], facts["area MLO"])[0, 1] == pytest.approx(
        table.loc["area", "real"]["correlation"]
    )


def test_of_many_pairs_some_are_compared(stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    assert LARGEST >= 500
    monkeypatch.setattr(views, "LARGEST", 5)
    some = ViewPairs.of(stores["true"], stores["true"].sizes[-1], seed=3)
    every = ViewPairs.of(stores["true"], stores["true"].sizes[-2], seed=3)
    assert len(some.rows) == 5 and some.rows["patient"].is_unique
    assert some.rows.equals(every.rows)


def test_sets_that_cannot_be_compared_are_refused(stores: dict[str, Store], tmp_path: Path) -> None:
    unknown = make_store(tmp_path / "unknown", 4, 1, size=SIZE)
    for given, real in ((unknown, None), (stores["true"], unknown)):
        with pytest.raises(InputError, match="unknown has no pair of views, since the laterality and the view of no"):
            compare_pairs(given.path, tmp_path / "out", real and real.path)
    small = pairs_store(tmp_path / "one", 1)
    with pytest.raises(ParameterError, match="more patients"):
        compare_pairs(small.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_may_be_too_small(stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert small_size(stores["true"], stores["false"], 32, 40) == (40, 32)
    monkeypatch.setattr(views, "TALLEST", 20)
    with pytest.raises(InputError, match=r"32 pixels or more per side and at most 20 in height .* up to 80 x 64"):
        compare_pairs(stores["true"].path, tmp_path / "out")
