"""Report on the utility of synthetic images: labels, copies, and what is refused in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammogan.data.store import Store, StoreWriter
from mammogan.errors import InputError
from mammogan.metrics import utility as arms
from mammogan.metrics.classifiers import linear
from mammogan.report import utility
from mammogan.report.utility import UtilitySettings

SETTINGS = UtilitySettings("finding", ("mass",), sizes=(16, 32), seeds=2)


def write(path: Path, count: int, seed: int, *, copied: Store | None = None, **facts: object) -> Store:
    """Write drawn breasts, some with a mass, two per patient, half of them in "train"; or copies of a store."""
    rng = np.random.default_rng(seed)
    with StoreWriter(path, 40, 32, 12, {"by": "test"}) as writer:
        for number in range(count):
            rows, columns = np.indices((40, 32))
            depth = rng.uniform(20, 28)
            image = 0.3 * (np.hypot((rows - 20) / rng.uniform(15, 19), columns / depth) < 1) + rng.normal(
                0, 0.02, (40, 32)
            )
            finding = ["none", "mass", "calcification"][rng.integers(3)]
            if finding == "mass":
                y, x = rng.integers(12, 26), rng.integers(3, 12)
                image[y : y + 4, x : x + 4] += 0.5
            if copied is not None:
                image, finding = copied.images()[number] / 4095, copied.manifest["finding"][number]
            split = "train" if number < count / 2 else "test"
            known = {"id": f"{seed}-{number}", "patient": f"{seed}-{number // 2}", "split": split, "finding": finding}
            writer.accept(np.clip(image, 0, 1), **{**known, **facts})
    return Store.open(path)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder = tmp_path_factory.mktemp("utility")
    return write(folder / "real", 120, 1), write(folder / "synthetic", 80, 2)


@pytest.fixture(autouse=True)
def only_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network has tests of its own."""
    monkeypatch.setattr(arms, "CLASSIFIERS", {"linear": linear})


def test_a_report_states_gains_and_audits_copies(stores: tuple[Store, Store], tmp_path: Path) -> None:
    found = utility.utility(stores[0].path, stores[1].path, tmp_path / "out", SETTINGS)
    assert found.facts["train"] == 60 and found.facts["test"] == 60 and found.facts["test.patients"] == 30
    assert found.facts["label"] == "finding mass" and found.facts["size"] == "40 x 32"
    assert found.facts["copies"] <= 8
    entries = json.loads((tmp_path / "out" / "results.json").read_text())
    auc = entries["utility.auc.linear.real_and_synthetic_4_each"]
    row = found.scores.query("arm == 'real and synthetic, 4 each' and real == 32 and score == 'AUC'").iloc[0]
    assert (auc["value"], auc["interval"]) == (row["value"], [row["low"], row["high"]]) and row["value"] > 0.5
    assert "utility.more.linear.16.32" in entries and "utility.gain.linear.real_augmented" in entries
    page = (tmp_path / "out" / "report.html").read_text()
    assert "60 real images" in page and "32 real images" in page and f"{row['value']:.3f}" in page
    assert set(pd.read_csv(tmp_path / "out" / "data" / "gains.csv")["arm"]) == {*arms.ARMS, "32 real images"} - {"real"}


def test_copies_of_training_images_are_left_out(stores: tuple[Store, Store], tmp_path: Path) -> None:
    copies = write(tmp_path / "copies", 40, 3, copied=stores[0])
    mixed = write(tmp_path / "mixed", 80, 2)
    train = utility.labeled(stores[0], stores[0].sizes[-1], np.arange(60), np.full(120, "mass"), ("mass",))
    tested = utility.labeled(stores[0], stores[0].sizes[-1], np.arange(60, 120), np.full(120, "mass"), ("mass",))
    for store, share in ((copies, 0.0), (mixed, 0.9)):
        made = utility.labeled(store, store.sizes[-1], np.arange(len(store)), np.full(len(store), "mass"), ("mass",))
        found, usable = utility.search_copies(train, tested, made, 0)
        assert usable.mean() == share if share == 0 else usable.mean() >= share
        assert found.nearer.value == (1.0 if share == 0 else pytest.approx(0.05, abs=0.1))


def test_a_small_archive_has_fewer_sizes() -> None:
    assert utility.within((16, 64), 64) == (16, 64)
    assert utility.within((16, 64), 20) == (16,)
    assert utility.within(iter((16, 64)), 12) == (12,)


def test_the_rarer_of_two_values_is_positive() -> None:
    settings = UtilitySettings("finding")
    assert utility.positives(np.array(["a", "b", "a", ""]), settings) == ("b",)
    assert utility.positives(np.array(["a", "b", "c"]), replace(settings, positive=("a", "c"))) == ("a", "c")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"label": "wealth"}, "no column 'wealth' of text; choose --label from id, "),
        ({"label": "density"}, "No real image of .* has a density; ingest with a table"),
        ({"label": "id"}, "The id of 120 real images has 120 classes; choose a --label with fewer"),
        ({"positive": ()}, r"has 3 values \(calcification, mass, none\); name those .* --positive none"),
        ({"positive": ("cyst",)}, "No real image has the finding 'cyst'"),
        ({"positive": ("mass", "none", "calcification")}, "All values of finding are positive"),
        ({"trained_on": ""}, "All real images of .* are in the split"),
        ({"height": 16}, "16 pixels or more per side and at most 16 in height"),
    ],
)
def test_labels_and_settings_that_cannot_be_used(
    stores: tuple[Store, Store], tmp_path: Path, changes: dict, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        utility.utility(stores[0].path, stores[1].path, tmp_path / "out", replace(SETTINGS, **changes))
    assert not (tmp_path / "out").exists()


def test_a_constant_or_missing_label_is_refused(stores: tuple[Store, Store], tmp_path: Path) -> None:
    same = write(tmp_path / "same", 20, 4, finding="none")
    with pytest.raises(InputError, match="All real images have the finding none; a classifier needs two classes"):
        utility.utility(same.path, stores[1].path, tmp_path / "out", SETTINGS)
    without = write(tmp_path / "without", 20, 5, finding=None)
    with pytest.raises(InputError, match=r"No synthetic image of .* from a generator trained with condition=finding"):
        utility.utility(stores[0].path, without.path, tmp_path / "out", SETTINGS)
