"""Detectors on planted damage, and surprises of known distributions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted_damage import plant
from sklearn.metrics import roc_auc_score

from mammogan.artifacts.detectors import DETECTORS, Detectors, surprise
from mammogan.artifacts.facts import facts_table, rim
from mammogan.data.images import Images
from mammogan.data.segmentation import oriented
from mammogan.data.store import quantize


def test_surprise_is_the_share_as_high_and_grows_beyond() -> None:
    rng = np.random.default_rng(0)
    reference, fresh = rng.exponential(size=4000), rng.exponential(size=4000)
    surprises = surprise(reference, fresh)
    # One in ten and one in a hundred of new images from the same source exceed 1 and 2.
    assert (surprises >= 1).mean() == pytest.approx(0.1, abs=0.015)
    assert (surprises >= 2).mean() == pytest.approx(0.01, abs=0.006)
    # An exponential tail continues as it began: at 3 ln 10 above the upper tenth, three orders of magnitude more.
    far = np.quantile(reference, 0.9) + 5 * np.log(10)
    assert surprise(reference, np.array([far]))[0] == pytest.approx(6, rel=0.1)
    assert np.all(np.diff(surprise(reference, np.linspace(0, 30, 200))) >= -1e-12)
    small = rng.normal(size=60)
    assert (surprise(small) >= 2).mean() <= 2 / 60
    assert np.isfinite(surprise(np.zeros(20), np.array([0.0, 1.0]))).all()
    # Where all real images are alike, an image that differs is surprising, and not by millions.
    chance = surprise(np.zeros(200), floor=0.4343)
    assert 2 < surprise(chance, np.array([40.0]), 0.4343)[0] < 60


# The detector for a kind of damage must tell it from none; no detector sees vessels, soft specks and copies.
@pytest.mark.parametrize(
    ("kind", "detector", "least"),
    [
        ("network_failure", "any", 0.95),
        ("outline", "outline", 0.65),
        ("implant", "saturation", 0.7),
        ("grid", "grid", 0.65),
        ("marker", "specks", 0.6),
        ("border", "outline", 0.7),
    ],
)
def test_planted_damage_is_found(
    population: Images, facts: pd.DataFrame, kind: str, detector: str, least: float
) -> None:
    reference = np.arange(len(population)) < 48  # twelve patients
    detectors = Detectors(facts[reference], population.patients[reference], population.views[reference])
    views = population.views[~reference]
    rng = np.random.default_rng(3)
    damaged = np.stack([quantize(plant(p / 4095, kind, rng), 12) for p in population.pixels[~reference]])
    clean = detectors.scores(facts[~reference], views)[detector]
    seen = detectors.scores(facts_table(damaged, 12), views)[detector]
    assert roc_auc_score([0] * len(clean) + [1] * len(seen), [*clean, *seen]) >= least


def test_texture_along_the_axes_and_a_lit_background_are_found(population: Images, facts: pd.DataFrame) -> None:
    """A small generator damages all of an image a little: no single pixel shows it."""
    detectors = Detectors(facts[:48], population.patients[:48], population.views[:48])
    rng = np.random.default_rng(4)
    later, views = population.pixels[48:] / 4095, population.views[48:]
    clean = detectors.scores(facts[48:], views)

    def scores(images: np.ndarray) -> pd.DataFrame:
        return detectors.scores(facts_table(np.stack([quantize(image, 12) for image in images]), 12), views)

    threads = rng.normal(size=(len(later), 80, 1)) + rng.normal(size=(len(later), 1, 64))
    woven = scores(np.clip(later * (1 + 0.05 * threads), 0, 1))
    hazy = scores(np.maximum(later, rng.uniform(0, 0.01, later.shape)))
    assert (clean[["grid", "background"]] >= 2).mean().max() < 0.2
    assert (woven["grid"] >= 2).all()
    assert (hazy["background"] >= 2).all() and (hazy["grid"] >= 2).mean() < 0.2


def test_a_faint_line_along_one_side_is_found(population: Images, facts: pd.DataFrame) -> None:
    """Zeros beyond the edge, which a generator's convolutions see, leave one."""
    detectors = Detectors(facts[:48], population.patients[:48], population.views[:48])
    later = np.stack([oriented(image) for image in population.pixels[48:]])
    assert (detectors.scores(facts[48:])["border"] >= 2).mean() < 0.1
    for side in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, -1]):
        lit = later.copy()
        lit[side] += 12  # of 4095
        assert (detectors.scores(facts_table(lit, 12))["border"] >= 2).mean() > 0.9
    # The chest wall may be lit, and a side that the breast covers says nothing.
    walled = later.copy()
    walled[:, :, 0] += 400
    assert (facts_table(walled, 12)["rim"] == facts["rim"][48:].to_numpy()).all()
    assert rim(np.full((80, 64), 0.5), np.ones((80, 64), bool)) == 0
    # Tables of earlier versions lack the line.
    earlier = Detectors(facts[:48].drop(columns="rim"), population.patients[:48], population.views[:48])
    assert (earlier.scores(facts_table(lit, 12))["border"] < 2).all()


def test_no_image_is_its_own_neighbor(population: Images, facts: pd.DataFrame) -> None:
    detectors = Detectors(facts, population.patients, population.views)
    assert detectors.distance(facts).min() < detectors.distance(facts, detectors.patients).min()
    own = detectors.own_scores()
    assert list(own) == [*DETECTORS, "any"]
    assert (own["outline"] >= 2).mean() <= 0.05
    # A mirrored image shows the same: the detectors do not see laterality.
    mirrored = facts_table(population.pixels[:4, :, ::-1], 12)
    np.testing.assert_allclose(mirrored["area"], facts["area"][:4], rtol=0.02)
