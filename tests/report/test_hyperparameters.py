"""The table of hyper-parameters."""

from __future__ import annotations

from dataclasses import asdict

from mammogan.gan.config import Config
from mammogan.report.hyperparameters import meanings, table


def test_learning_rates_are_shown_by_level() -> None:
    here = table(Config()).set_index("setting")["here"]
    assert here["learning_rate"] == "8 x 0.001, 0.0015"
    assert here["batches"] == "3 x 128, 64, 32, 16, 8, 2 x 4"


def test_every_setting_has_a_meaning_and_changes_are_marked() -> None:
    assert set(asdict(Config())) == set(meanings())
    rows = table(Config().changed({"latent": 8})).set_index("setting")
    assert rows.index[rows["changed"] == "yes"].tolist() == ["latent"]
    assert rows.loc["latent", ["original GAN", "here"]].tolist() == ["512", "8"]
